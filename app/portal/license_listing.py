"""The keys on the License tab, as one person may see them."""

from dataclasses import dataclass, field
from datetime import datetime

from app.agents.logout_status import EndedSession
from app.keyformat.key_ids import normalise_key_id
from app.licenses.key_records import KeyList, KeyRecord
from app.licenses.queries import state_of
from app.licenses.rules import LicenseState
from app.web.htmx import fingerprint


@dataclass(frozen=True)
class Listing:
    """An organisation's keys as one person may see them at one instant."""

    now: datetime
    keys: KeyList
    chosen: KeyRecord | None
    state: LicenseState | None
    key: str | None = field(repr=False)
    key_problem: str | None
    logged_out: list[EndedSession]
    """The sessions under the chosen key that ended because it was revoked."""

    def shows(self, key_id: str) -> bool:
        """Whether the chosen key is the one with this Key ID, in any accepted spelling."""
        return self.chosen is not None and self.chosen.key_id == normalise_key_id(key_id)

    @property
    def fingerprint(self) -> str:
        """A hash that changes when anything shown changes, except the countdowns."""
        chosen = self.chosen.key_id if self.chosen else None
        shown: list[object] = [chosen, self.key is not None, self.key_problem]
        for license in (*self.keys.active, *self.keys.scheduled, *self.keys.ended):
            state = state_of(license, self.now)
            shown += [license.key_id, state, license.last_used_at, license.expires_at]
            shown.append(license.collected_at)
        shown += [ended.status for ended in self.logged_out]
        return fingerprint(shown)
