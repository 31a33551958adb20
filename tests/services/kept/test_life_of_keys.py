"""A key's life, whatever happens in whatever order, against a model of thirty lines."""

import os
import shutil
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import select

from app.agents.heartbeats import LiveSession, heartbeat
from app.agents.retiring import retire_signing_key
from app.agents.sign_in import SignedIn
from app.core.actor import COMMAND_LINE, Actor
from app.extensions import db
from app.keyformat import sealed
from app.licenses.keyring import current_kid, ensure_signing_key, rotate_signing_key
from app.licenses.services import revoke_license
from app.models import User
from tests.agents.stage import LIMITS, issue, text_of, try_to_sign_in
from tests.conftest import NOW, Cast, Clock
from tests.services.kept.stage import new_installation

MOST_KEYS = 5


@dataclass
class State:
    """What a copy holds."""

    keys: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    """The signing key and the end of each key, by its Key ID."""
    signing: str = ""
    retired: set[str] = field(default_factory=set)


@dataclass
class Model:
    """Which keys are good. A key that was withdrawn once, in whatever state, is so for ever.

    That a signing key was retired is forgotten with the journal alone; every key under it is not.
    """

    now: datetime = NOW
    state: State = field(default_factory=State)
    copy: State | None = None
    withdrawn: set[str] = field(default_factory=set)

    def is_good(self, key_id: str) -> bool:
        kid, ends_at = self.state.keys.get(key_id, ("", NOW))
        withdrawn = key_id in self.withdrawn or kid in self.state.retired
        return self.now < ends_at and not withdrawn

    def restored(self, *, with_journal: bool, all_ended: bool) -> None:
        assert self.copy is not None
        retired, self.state = self.state.retired, deepcopy(self.copy)
        if with_journal:
            self.state.retired |= retired
        if all_ended:
            self.withdrawn |= set(self.state.keys)


class LifeOfKeys(RuleBasedStateMachine):
    template: Path
    """An installation that has been started, to begin with a copy of it."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.clock, self.model = Clock(NOW), Model()
        self.patch.setattr("app.core.clock.datetime", self.clock)
        self.patch.setattr(sealed, "SCRYPT_N", 2)
        self.folder = TemporaryDirectory()
        shutil.copytree(self.template, Path(self.folder.name) / "instance")
        self.here = new_installation(Path(self.folder.name) / "instance", None)
        self.texts: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        with self.here.context():
            self.model.state.signing = current_kid(db.session())
            self.cast = _Cast()

    def teardown(self) -> None:
        self.here.close()
        self.patch.undo()
        self.folder.cleanup()

    @rule(hours=st.integers(1, 4))
    def generate(self, hours: int) -> None:
        if len(self.texts) == MOST_KEYS:
            return
        with self.here.context():
            key = issue(db.session(), self.cast, now=self.clock.now(), ttl=3600 * hours)
            self.texts[key.key_id] = text_of(key)
            self.model.state.keys[key.key_id] = (self.model.state.signing, key.expires_at)

    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        if self.model.state.keys:
            key_id = data.draw(st.sampled_from(sorted(self.model.state.keys)))
            with self.here.context():
                now = self.clock.now()
                revoke_license(db.session(), actor=self.cast.ada_actor, key_id=key_id, now=now)
                db.session.commit()
            self.model.withdrawn.add(key_id)

    @rule(minutes=st.integers(1, 150))
    def time_passes(self, minutes: int) -> None:
        self.model.now = self.clock.advance(minutes=minutes)

    @rule()
    def rotate_and_retire(self) -> None:
        with self.here.context():
            session, keys = db.session(), self.here.config.signing_keys
            old = self.model.state.signing
            given = {"actor": COMMAND_LINE, "now": self.clock.now()}
            self.model.state.signing = rotate_signing_key(session, signing_keys=keys, **given)
            session.commit()
            retire_signing_key(session, kid=old, limits=LIMITS, **given)
            session.commit()
        self.model.state.retired.add(old)

    @rule()
    def rotate(self) -> None:
        with self.here.context():
            self.model.state.signing = rotate_signing_key(
                db.session(),
                signing_keys=self.here.config.signing_keys,
                actor=COMMAND_LINE,
                now=self.clock.now(),
            )
            db.session.commit()

    @rule()
    def back_up(self) -> None:
        self.here.prove()
        self.here.back_up()
        self.model.copy = deepcopy(self.model.state)

    @precondition(lambda self: self.model.copy is not None)
    @rule(with_journal=st.booleans())
    def restore(self, with_journal: bool) -> None:
        self.here.prove()
        if not with_journal:
            self.here.journal.unlink(missing_ok=True)
        done = self.here.restore()
        assert with_journal or done.rest == "ended"
        self.model.restored(with_journal=with_journal, all_ended=done.rest == "ended")
        with self.here.context():
            keys = self.here.config.signing_keys
            signing = ensure_signing_key(db.session(), signing_keys=keys, now=self.clock.now())
            db.session.commit()
            self.model.state.signing = signing
        assert signing not in self.model.state.retired

    @invariant()
    def just_the_good_keys_let_anybody_in(self) -> None:
        with self.here.context():
            now, session = self.clock.now(), db.session()
            for key_id, text in self.texts.items():
                answer = try_to_sign_in(session, Cast.pat, text, now=now)
                assert isinstance(answer, SignedIn) == self.model.is_good(key_id), key_id
                if isinstance(answer, SignedIn):
                    self.tokens[answer.token] = key_id
            session.commit()
            for token, key_id in self.tokens.items():
                if isinstance(heartbeat(session, token=token, now=now, limits=LIMITS), LiveSession):
                    assert self.model.is_good(key_id), key_id


class _Cast:
    """Ada, as `issue` asks for her."""

    ada = Cast.ada

    def __init__(self) -> None:
        ada = db.session.scalars(select(User).where(User.email == Cast.ada)).one()
        self.ada_actor = Actor(ada.id, ada.email, ada.role, "203.0.113.7")

    def actor(self, _email: str) -> object:
        return self.ada_actor


def test_the_life_of_keys(tmp_path: Path) -> None:
    first = new_installation(tmp_path / "template", None)
    first.start()
    first.close()
    LifeOfKeys.template = tmp_path / "template"
    case = LifeOfKeys.TestCase()
    case.settings = settings(
        max_examples=int(os.environ.get("TEST_LIVES", "5")),
        stateful_step_count=14,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    case.runTest()
