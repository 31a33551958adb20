"""Permanent licenses: each ties one machine to one organisation."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.core.clock import whole_second
from app.keyformat.license_keys import sign_permanent_license
from app.licenses.keyring import current_kid, private_key
from app.licenses.services import free_key_id
from app.models import PermanentLicense


def mint_permanent_license(
    session: Session,
    *,
    organisation_id: str,
    mac_id: str,
    machine_id: str,
    issued_by_id: int | None,
    signing_keys: str,
    now: datetime,
) -> tuple[PermanentLicense, str]:
    """Make a machine's license, issued at the whole second of `now`: (record, license text).

    The record is not added to `session`: it is stored with the agent that it belongs to. The text
    is stored nowhere; it contains `machine_id` unless that is blank. Raises SigningKeyMissing.
    """
    kid = current_kid(session, lock=True)
    signing = private_key(signing_keys, kid)
    license = PermanentLicense(
        key_id=free_key_id(session),
        organisation_id=organisation_id,
        kid=kid,
        issued_at=whole_second(now),
        issued_by_id=issued_by_id,
    )
    text = sign_permanent_license(
        signing,
        jti=license.key_id,
        organisation_id=organisation_id,
        mac_id=mac_id,
        machine_id=machine_id or None,
        issued_at=license.issued_at,
    )
    return license, text
