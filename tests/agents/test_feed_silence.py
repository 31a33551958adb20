"""The Feed tells of clients and machines, and of temporary keys and partners nothing, ever."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.users import disable_user
from app.agents.configuration import save_configuration
from app.agents.heartbeats import heartbeat
from app.agents.live_sessions import end_session, end_temporary_sessions
from app.agents.machines import (
    attach,
    detach,
    dissociate,
    machines_of,
    revoke_permanent_license,
)
from app.agents.sessions import sign_out
from app.agents.sign_in import SignedIn
from app.audit.feed import FeedKind
from app.core.errors import Conflict
from app.extensions import db
from app.licenses.services import revoke_license
from app.models import FeedEvent, TemporaryLicense
from tests.agents.stage import BEA, HOUR, LIMITS, add_bea, feed, issue, text_of, try_to_sign_in
from tests.conftest import NOW, Cast, empty_database, signing_keys

MACS = ("00:1A:2B:3C:4D:01", "00:1A:2B:3C:4D:02")
PARTNER_HOST = "pats-own-laptop"


class History:
    """What happens at a portal, one step after another, a minute apart."""

    def __init__(self, session: Session, cast: Cast) -> None:
        self.session, self.cast, self.now = session, cast, NOW
        self.ada = cast.actor(cast.ada)
        self.here: list[SignedIn] = []

    def step(self, what: str, number: int) -> None:
        self.now += timedelta(minutes=1)
        with suppress(Conflict):
            getattr(self, what)(number)
        self.session.commit()

    def by_client(self, number: int) -> None:
        who = (Cast.carl, BEA)[number % 2]
        self._sign_in(who, "", number, hostname=f"client-host-{number}")

    def by_partner(self, number: int) -> None:
        licenses = list(self.session.scalars(select(TemporaryLicense)))
        key = text_of(licenses[-1 - number // 4 % len(licenses)])
        who = (Cast.pat, Cast.dev)[number % 2]
        self._sign_in(who, key, number // 2, hostname=PARTNER_HOST)

    def client_with_a_key(self, number: int) -> None:
        licenses = list(self.session.scalars(select(TemporaryLicense)))
        self._sign_in(Cast.carl, text_of(licenses[number % len(licenses)]), number)

    def _sign_in(self, who: str, key: str, number: int, **presented: str) -> None:
        answer = try_to_sign_in(
            self.session, who, key, now=self.now, mac_id=MACS[number % 2], **presented
        )
        if isinstance(answer, SignedIn):
            self.here.append(answer)

    def issue_key(self, number: int) -> None:
        organisation_id = (Cast.acme, Cast.bolt)[number % 2]
        issue(self.session, self.cast, organisation_id, now=self.now)

    def revoke_key(self, number: int) -> None:
        licenses = list(self.session.scalars(select(TemporaryLicense)))
        key_id = licenses[number % len(licenses)].key_id
        revoke_license(self.session, actor=self.ada, key_id=key_id, now=self.now)

    def beat(self, number: int) -> None:
        self._of_one(heartbeat, number)

    def log_out(self, number: int) -> None:
        self._of_one(sign_out, number)

    def _of_one(self, service: Callable[..., object], number: int) -> None:
        if self.here:
            token = self.here[number % len(self.here)].token
            service(self.session, token=token, now=self.now, limits=LIMITS)

    def save(self, number: int) -> None:
        if self.here:
            found = self.here[number % len(self.here)].agent_session
            save_configuration(self.session, agent_session=found, data={}, now=self.now)

    def end_one(self, number: int) -> None:
        if self.here:
            found = self.here[number % len(self.here)].agent_session
            end_session(
                self.session,
                actor=self.ada,
                session_id=found.id,
                now=self.now,
                limits=LIMITS,
            )

    def end_all(self, number: int) -> None:
        end_temporary_sessions(
            self.session,
            actor=self.ada,
            organisation_id=(Cast.acme, Cast.bolt)[number % 2],
            now=self.now,
            limits=LIMITS,
        )

    def machine(self, number: int) -> None:
        machines = [*machines_of(self.session, Cast.acme), *machines_of(self.session, Cast.bolt)]
        if not machines:
            return
        agent_id = machines[number % len(machines)].id
        options = {"actor": self.ada, "agent_id": agent_id, "now": self.now}
        change = (detach, attach, dissociate, revoke_permanent_license)[number % 4]
        change(self.session, **options, **({} if change is attach else {"limits": LIMITS}))

    def wait(self, number: int) -> None:
        self.now += timedelta(seconds=number * HOUR // 40)

    def disable_partner(self, number: int) -> None:
        who = (Cast.pat, Cast.dev)[number % 2]
        disable_user(self.session, email=who, actor=self.ada, now=self.now)


PARTNERS_DO = (
    "by_partner",
    "by_partner",
    "client_with_a_key",
    "issue_key",
    "revoke_key",
    "end_all",
    "wait",
)
STEPS = (
    *PARTNERS_DO,
    *("by_client", "beat", "log_out", "save", "end_one", "machine", "disable_partner"),
)
histories = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 19)), min_size=5, max_size=25)
partners_histories = st.lists(
    st.tuples(st.sampled_from(PARTNERS_DO), st.integers(0, 19)), min_size=5, max_size=15
)
some = settings(max_examples=20)


def set_the_stage(app: Flask) -> History:
    from app.agents.registration import ensure_machine_salt
    from app.licenses.keyring import ensure_signing_key

    empty_database()
    session = db.session()
    ensure_signing_key(session, signing_keys=signing_keys(app), now=NOW)
    ensure_machine_salt(session)
    session.commit()
    cast = Cast(session)
    add_bea(session, cast)
    for organisation_id in (cast.bolt, cast.acme):
        issue(session, cast, organisation_id)
    return History(session, cast)


@given(history=histories)
@some
def test_nothing_of_a_temporary_key_or_of_a_partner_is_ever_in_a_feed(
    app: Flask, history: list[tuple[str, int]]
) -> None:
    with app.app_context():
        stage = set_the_stage(app)
        for what, number in history:
            stage.step(what, number)
        words = "\n".join(str(vars(line)) for line in db.session.scalars(select(FeedEvent)))
        secret = [Cast.pat, Cast.dev, Cast.ada, PARTNER_HOST]
        secret += db.session.scalars(select(TemporaryLicense.key_id)).all()
        for word in secret:
            assert word not in words
        kinds = set(db.session.scalars(select(FeedEvent.kind)))
        assert kinds <= {kind.value for kind in FeedKind}


@given(history=partners_histories)
@some
def test_what_partners_do_leaves_a_feed_as_it_was(
    app: Flask, history: list[tuple[str, int]]
) -> None:
    with app.app_context():
        stage = set_the_stage(app)
        stage.step("by_client", 0)
        before = feed(stage.session)
        assert len(before) == 2
        for what, number in history:
            stage.step(what, number)
        assert feed(stage.session) == before
        assert feed(stage.session, Cast.bolt) == []
