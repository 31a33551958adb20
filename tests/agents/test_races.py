"""After the answer to what ends something, nothing is done any more under what it ended.

Many threads act while one ends it. What is recorded when the end has been answered is counted, and
counted again when the last thread has stopped: it must be the same. For more of it:
`RACE_ROUNDS=80 RACE_THREADS=20 pytest tests/agents/test_races.py -s`.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from app.accounts.users import disable_user
from app.agents.live_sessions import end_session
from app.agents.machines import detach
from app.agents.retiring import retire_signing_key
from app.audit.tags import AuditTag
from app.core.actor import Actor
from app.core.clock import utcnow
from app.extensions import db
from app.licenses.keyring import current_kid, rotate_signing_key
from app.licenses.services import issue_license, revoke_license
from app.models import Agent, AgentSession, AuditEvent, TemporaryLicense, User
from app.models.engine import writing
from tests.agents.api_stage import RealAgent, to_the_app
from tests.agents.stage import LIMITS
from tests.conftest import Cast, signing_keys

pytestmark = pytest.mark.databases("sqlite", "postgres")

ROUNDS = int(os.environ.get("RACE_ROUNDS", "4"))
THREADS = int(os.environ.get("RACE_THREADS", "6"))
HOUR = 3600


class Race:
    """One end, raced against by many who act."""

    def __init__(self, app: Flask, cast: Cast) -> None:
        self.app, self.actor = app, cast.actor(cast.ada)
        self.agents = [
            RealAgent(to_the_app(app.test_client()), f"00:1A:2B:00:00:{number:02X}")
            for number in range(THREADS)
        ]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self.app.app_context(), writing():
            yield
            db.session.commit()

    def new_key(self) -> tuple[str, str]:
        with self.transaction():
            license, key = issue_license(
                db.session(),
                actor=self.actor,
                organisation_id=Cast.acme,
                ttl=HOUR,
                choices=(HOUR,),
                signing_keys=signing_keys(self.app),
                now=utcnow(),
            )
            return license.key_id, key

    def run(
        self,
        act: Callable[[RealAgent], object],
        end: Callable[[Actor], object],
        recorded: Callable[[], int],
    ) -> tuple[int, int]:
        """(how many were recorded before the answer to the end, how many after it)."""
        stop, rounds = threading.Event(), threading.Semaphore(0)

        def work(agent: RealAgent) -> None:
            while not stop.is_set():
                act(agent)
                rounds.release()

        threads = [threading.Thread(target=work, args=(agent,)) for agent in self.agents]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert rounds.acquire(timeout=60)
        with self.transaction():
            end(self.actor)
        before = self.count(recorded)
        for _ in range(2 * THREADS):  # until each has acted once more, at least
            assert rounds.acquire(timeout=60)
        stop.set()
        for thread in threads:
            thread.join(60)
        return before, self.count(recorded) - before

    def count(self, recorded: Callable[[], int]) -> int:
        with self.app.app_context():
            return recorded()


@pytest.fixture
def race(app: Flask, cast: Cast) -> Race:
    return Race(app, cast)


def sign_ins() -> int:
    return db.session.scalar(select(func.count()).select_from(AgentSession)) or 0


def saved_configurations() -> int:
    saved = AuditEvent.tag == AuditTag.CONFIGURATION_SAVED.value
    return db.session.scalar(select(func.count()).select_from(AuditEvent).where(saved)) or 0


def report(what: str, done: list[tuple[int, int]]) -> int:
    """Print the figures; how many were late in all."""
    late = sum(after for _, after in done)
    print(f"{what}: {sum(before for before, _ in done)} recorded, {late} of them too late")
    assert sum(before for before, _ in done) > 0
    return late


def test_no_sign_in_is_recorded_after_the_answer_to_a_revocation(race: Race) -> None:
    """Pat signs in on many machines at once while Ada revokes the key."""
    done = []
    for _ in range(ROUNDS):
        key_id, key = race.new_key()
        before = race.count(sign_ins)

        def act(agent: RealAgent, key: str = key) -> None:
            agent.sign_in(Cast.pat, key)

        def revoke(actor: Actor, key_id: str = key_id) -> None:
            revoke_license(db.session(), actor=actor, key_id=key_id, now=utcnow())

        recorded, late = race.run(act, revoke, sign_ins)
        done.append((recorded - before, late))
    assert report("sign-ins against a revocation", done) == 0


def test_no_sign_in_is_recorded_after_the_answer_to_a_disabling(race: Race) -> None:
    done = []
    _, key = race.new_key()
    for _ in range(ROUNDS):
        before = race.count(sign_ins)

        def disable(actor: Actor) -> None:
            disable_user(db.session(), email=Cast.pat, actor=actor, now=utcnow())

        recorded, late = race.run(lambda agent: agent.sign_in(Cast.pat, key), disable, sign_ins)
        done.append((recorded - before, late))
        with race.transaction():
            db.session.execute(update(User).values(disabled_at=None))
            db.session.execute(update(AgentSession).values(ended_at=utcnow()))
    assert report("sign-ins against a disabling", done) == 0


def test_no_sign_in_is_recorded_after_the_answer_to_a_detachment(race: Race) -> None:
    """Carl signs in again and again on the one machine that Ada detaches."""
    for agent in race.agents:
        agent.mac_id = "00:1A:2B:00:00:FF"
    race.agents[0].sign_in(Cast.carl)
    done = []
    for _ in range(ROUNDS):
        before = race.count(sign_ins)

        def detach_machine(actor: Actor) -> None:
            [agent_id] = db.session.scalars(select(Agent.id))
            detach(db.session(), actor=actor, agent_id=agent_id, now=utcnow(), limits=LIMITS)

        recorded, late = race.run(lambda agent: agent.sign_in(Cast.carl), detach_machine, sign_ins)
        done.append((recorded - before, late))
        with race.transaction():
            db.session.execute(update(Agent).values(detached_at=None))
    assert report("sign-ins against a detachment", done) == 0


def test_no_configuration_is_saved_after_the_answer_to_end_session(race: Race) -> None:
    """Carl's agent saves its configuration again and again while Ada ends its session."""
    done = []
    for _ in range(ROUNDS):
        first = race.agents[0]
        first.mac_id = "00:1A:2B:00:00:FF"
        first.sign_in(Cast.carl)
        for agent in race.agents:
            agent.token = first.token
        before = race.count(saved_configurations)

        def end(actor: Actor) -> None:
            newest = db.session.scalar(select(func.max(AgentSession.id))) or 0
            end_session(db.session(), actor=actor, session_id=newest, now=utcnow(), limits=LIMITS)

        recorded, late = race.run(
            lambda agent: agent.ask("PUT", "/configuration", {"interval": 15}),
            end,
            saved_configurations,
        )
        done.append((recorded - before, late))
        for agent in race.agents:
            agent.token = ""
    assert report("configurations against End session", done) == 0


def test_no_sign_in_is_recorded_after_the_answer_to_a_retirement(race: Race) -> None:
    """The private signing key may have been stolen: Ada retires it while Pat signs in."""
    done = []
    for _ in range(ROUNDS):
        _, key = race.new_key()
        with race.transaction():
            kid = current_kid(db.session())
            keys = signing_keys(race.app)
            rotate_signing_key(db.session(), signing_keys=keys, actor=race.actor, now=utcnow())
        before = race.count(sign_ins)

        def retire(actor: Actor, kid: str = kid) -> None:
            retire_signing_key(db.session(), actor=actor, kid=kid, now=utcnow(), limits=LIMITS)

        recorded, late = race.run(
            lambda agent, key=key: agent.sign_in(Cast.pat, key), retire, sign_ins
        )
        done.append((recorded - before, late))
    assert report("sign-ins against a retirement", done) == 0


def test_no_key_is_issued_under_a_signing_key_that_was_retired(race: Race) -> None:
    """Many generate keys while Ada rotates and retires: none is left that works under the old."""
    for _ in range(ROUNDS):
        with race.transaction():
            kid = current_kid(db.session())

        def withdraw(actor: Actor, kid: str = kid) -> None:
            session, keys = db.session(), signing_keys(race.app)
            rotate_signing_key(session, signing_keys=keys, actor=actor, now=utcnow())
            session.commit()
            retire_signing_key(session, actor=actor, kid=kid, now=utcnow(), limits=LIMITS)

        race.run(lambda _: race.new_key(), withdraw, lambda: 0)

        def still_good(kid: str = kid) -> int:
            good = (TemporaryLicense.kid == kid) & TemporaryLicense.revoked_at.is_(None)
            return db.session.scalar(select(func.count(TemporaryLicense.id)).where(good)) or 0

        assert race.count(still_good) == 0
