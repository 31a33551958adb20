"""After the answer to what ends something, nothing is done any more under what it ended.

Many agents, each over connections of its own, sign in, are heard from and save their configuration
again and again while a super admin ends what they do it under. Two things are counted: answers of
success to requests that were sent after the answer to the end, and what is recorded in the database
after it, by requests that were on their way. Both must be none. For more of it:
`RACE_ROUNDS=15 RACE_THREADS=20 pytest tests/agents/test_races.py -s`.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import cycle

import pytest
from flask import Flask
from sqlalchemy import delete, func, select, update

from app.accounts.users import disable_user
from app.audit.tags import AuditTag
from app.core.clock import utcnow
from app.core.permissions import Role
from app.extensions import db
from app.models import (
    Agent,
    AgentSession,
    AuditEvent,
    PermanentLicense,
    SignInFailure,
    TemporaryLicense,
    User,
    WebSession,
)
from app.models.engine import writing
from tests.agents.api_stage import Answer, RealAgent, Sender, serving
from tests.agents.stage import issue, text_of
from tests.conftest import Cast, Visitor

pytestmark = pytest.mark.databases("sqlite", "postgres")

ROUNDS = int(os.environ.get("RACE_ROUNDS", "2"))
THREADS = int(os.environ.get("RACE_THREADS", "6"))
SHARED_MAC = "00:1A:2B:00:00:FF"
SUCCESSES = (200, 201, 204, 303)

Act = Callable[[int], int]
"""What the person with a number does again and again: the status that they are answered."""


def from_address(port: int, address: str) -> Sender:
    """A connection for each request, from an address of one's own: each is throttled by itself."""

    def send(method: str, path: str, headers: object, body: bytes | None) -> Answer:
        connection = HTTPConnection("127.0.0.1", port, timeout=60, source_address=(address, 0))
        connection.request(method, path, body, dict(headers))
        given = connection.getresponse()
        answer = Answer(given.status, dict(given.getheaders()), given.read())
        connection.close()
        return answer

    return send


@dataclass
class Tally:
    before: int = 0
    """What was answered with success before the end."""
    late: list[int] = field(default_factory=list)
    """The statuses of successes that were asked for after the answer to the end."""
    recorded_late: int = 0


class Race:
    """One end, raced against by many who act."""

    def __init__(self, app: Flask, cast: Cast, port: int) -> None:
        self.app, self.cast = app, cast
        self.ada = Visitor(app.test_client())
        assert self.ada.sign_in(cast.ada).status_code == 303
        self.agents = [
            RealAgent(from_address(port, f"127.0.1.{number + 1}"), f"00:1A:2B:00:00:{number:02X}")
            for number in range(THREADS)
        ]
        self.tally = Tally()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self.app.app_context(), writing():
            yield
            db.session.commit()

    def reset(self) -> None:
        """Everybody may come in again."""
        with self.transaction():
            now = utcnow()
            db.session.execute(delete(SignInFailure))
            db.session.execute(update(User).values(disabled_at=None))
            db.session.execute(update(Agent).values(detached_at=None))
            db.session.execute(update(PermanentLicense).values(revoked_at=None))
            db.session.execute(update(AgentSession).values(ended_at=now))

    def new_key(self) -> tuple[str, str]:
        with self.transaction():
            license = issue(db.session(), self.cast, now=utcnow())
            return license.key_id, text_of(license, self.app)

    def everybody_signs_in(self, login_id: str, key: str) -> None:
        for agent in self.agents:
            agent.token = ""
            assert agent.sign_in(login_id, key).status == 201

    def one_session_for_all(self) -> None:
        """Carl's, on the one machine that all agents say they are."""
        for agent in self.agents:
            agent.mac_id, agent.token = SHARED_MAC, ""
        assert self.agents[0].sign_in(Cast.carl).status == 201
        for agent in self.agents:
            agent.token = self.agents[0].token

    # What people do

    def sign_in(self, login_id: str, key: str | None = None) -> Act:
        def act(number: int) -> int:
            there = self.agents[number]
            return RealAgent(there.send, there.mac_id).sign_in(login_id, key).status

        return act

    def heartbeat(self, number: int) -> int:
        return self.agents[number].heartbeat().status

    def save(self, number: int) -> int:
        return self.agents[number].ask("PUT", "/configuration", {"interval": 15}).status

    def by_page(self, path: str) -> None:
        """Ada presses the button, again if the database was busy."""
        address = f"/projects/{self.cast.acme_project}/{path}"
        while (answer := self.ada.post(address)).status_code == 503:
            pass
        assert answer.status_code == 303

    def run(self, *acts: Act, end: Callable[[], object]) -> None:
        """Everybody acts until each has acted before the end, and again after its answer."""
        ended, stop, acted = threading.Event(), threading.Event(), threading.Semaphore(0)

        def work(number: int) -> None:
            first = number % len(acts)
            for act in cycle(acts[first:] + acts[:first]):
                if stop.is_set():
                    return
                after = ended.is_set()
                succeeded = (status := act(number)) in SUCCESSES
                if succeeded and after:
                    self.tally.late.append(status)
                elif succeeded:
                    self.tally.before += 1
                acted.release()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        wait_for(acted, THREADS)
        end()
        ended.set()
        recorded = self.recorded()
        wait_for(acted, 2 * THREADS)
        stop.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        self.tally.recorded_late += self.recorded() - recorded

    def recorded(self) -> int:
        """Sign-ins, saved configurations and generated keys."""
        saved = AuditEvent.tag == AuditTag.CONFIGURATION_SAVED.value
        counts = (
            select(func.count(AgentSession.id)),
            select(func.count(AuditEvent.id)).where(saved),
            select(func.count(TemporaryLicense.id)),
        )
        with self.app.app_context():
            return sum(db.session.scalar(count) or 0 for count in counts)

    def report(self, what: str) -> None:
        """Print the figures; nothing may have been late, and something must have been done."""
        late, recorded = self.tally.late, self.tally.recorded_late
        print(
            f"{what} on {self.app.extensions['config'].database_url.partition(':')[0]}: "
            f"{ROUNDS} rounds, {THREADS} threads, {self.tally.before} successes before, "
            f"{len(late)} late, {recorded} recorded late"
        )
        assert self.tally.before > 0
        assert (late, recorded) == ([], 0)


def wait_for(acted: threading.Semaphore, times: int) -> None:
    for _ in range(times):
        assert acted.acquire(timeout=60)


@pytest.fixture
def race(app: Flask, cast: Cast) -> Iterator[Race]:
    with serving(app) as port:
        yield Race(app, cast, port)


def test_a_revocation(race: Race) -> None:
    """Pat signs in on many machines at once, and works on them, while Ada revokes the key."""
    for _ in range(ROUNDS):
        key_id, key = race.new_key()
        race.everybody_signs_in(Cast.pat, key)
        race.run(
            race.sign_in(Cast.pat, key),
            race.heartbeat,
            end=lambda key_id=key_id: race.by_page(f"license/{key_id}/revoke"),
        )
        race.reset()
    race.report("revocation of a key")


def test_a_detachment(race: Race) -> None:
    """Carl works on the one machine that Ada detaches, and signs in on it again and again."""
    race_for_the_machine(race, "detach")
    race.report("detachment")


def test_a_revocation_of_the_machines_license(race: Race) -> None:
    race_for_the_machine(race, "revoke-license")
    race.report("revocation of a machine's license")


def race_for_the_machine(race: Race, button: str) -> None:
    for _ in range(ROUNDS):
        race.one_session_for_all()
        with race.transaction():
            [agent_id] = db.session.scalars(select(Agent.id))
        race.run(
            race.sign_in(Cast.carl),
            race.heartbeat,
            race.save,
            end=lambda agent_id=agent_id: race.by_page(f"agents/machines/{agent_id}/{button}"),
        )
        race.reset()


def test_a_disabling(race: Race) -> None:
    """Carl works and signs in while he is disabled."""

    def disable() -> None:
        with race.transaction():
            actor = race.cast.actor(Cast.ada)
            disable_user(db.session(), email=Cast.carl, actor=actor, now=utcnow())

    for _ in range(ROUNDS):
        race.one_session_for_all()
        race.run(race.sign_in(Cast.carl), race.heartbeat, race.save, end=disable)
        race.reset()
    race.report("disabling")


def test_the_end_of_a_session(race: Race) -> None:
    """Carl's agent works on while Ada ends its session."""
    for _ in range(ROUNDS):
        race.one_session_for_all()
        with race.transaction():
            newest = db.session.scalar(select(func.max(AgentSession.id)))
        race.run(
            race.heartbeat,
            race.save,
            end=lambda newest=newest: race.by_page(f"agents/{newest}/end"),
        )
        race.reset()
    race.report("end of a session")


def test_another_role_on_the_agent(race: Race) -> None:
    """Pat signs in with a key while she is made a client user, who may not use one."""
    for _ in range(ROUNDS):
        _, key = race.new_key()
        give_role(race, Cast.pat, Role.PARTNER)
        race.run(
            race.sign_in(Cast.pat, key),
            end=lambda: give_role(race, Cast.pat, Role.CLIENT, Cast.acme),
        )
        race.reset()
    race.report("another role, on the agent")


def give_role(race: Race, email: str, role: Role, organisation_id: str | None = None) -> None:
    with race.transaction():
        new = {"role": role, "organisation_id": organisation_id}
        db.session.execute(update(User).where(User.email == email).values(new))


@pytest.mark.parametrize("how", ["disabled", "made an auditor", "signed out"])
def test_at_the_portal(race: Race, how: str) -> None:
    """Grace generates keys in many windows of her browser while she loses the right to."""
    for _ in range(ROUNDS):
        windows = windows_of(race, Cast.grace)

        def generate(number: int, windows: list[Visitor] = windows) -> int:
            address = f"/projects/{race.cast.acme_project}/license"
            return windows[number].post(address, {"ttl": "1h"}).status_code

        def shut_out() -> None:
            with race.transaction():
                grace = User.email == Cast.grace
                if how == "disabled":
                    db.session.execute(update(User).where(grace).values(disabled_at=utcnow()))
                elif how == "made an auditor":
                    db.session.execute(update(User).where(grace).values(role=Role.AUDITOR))
                else:
                    of_grace = WebSession.user_id == select(User.id).where(grace).scalar_subquery()
                    ended = update(WebSession).where(of_grace).values(ended_at=utcnow())
                    db.session.execute(ended)

        race.run(generate, end=shut_out)
        race.reset()
        give_role(race, Cast.grace, Role.SUPER_ADMIN)
    race.report(f"at the portal, {how}")


def windows_of(race: Race, email: str) -> list[Visitor]:
    """Windows of one browser: the same sign-in in each."""
    first = Visitor(race.app.test_client())
    assert first.sign_in(email).status_code == 303
    first.get("/projects")
    cookie = first.client.get_cookie("rolling_window").value
    windows = []
    for _ in range(THREADS):
        window = Visitor(race.app.test_client())
        window.client.set_cookie("rolling_window", cookie)
        window.csrf_token = first.csrf_token
        windows.append(window)
    return windows
