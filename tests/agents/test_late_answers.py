"""What was true before the commit and is not after it: the commit took longer than the key lived."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask

from app.web import application
from tests.agents.api_stage import RealAgent, to_the_app
from tests.conftest import Cast, Clock
from tests.web.pages import issued_key

HOUR = 3600


@pytest.fixture
def agent(app: Flask, clock: Clock) -> RealAgent:
    return RealAgent(to_the_app(app.test_client()))


@contextmanager
def commits_take_a_second(clock: Clock) -> Iterator[None]:
    real = application.one_transaction

    @contextmanager
    def slow() -> Iterator[None]:
        with real():
            yield
        clock.advance(seconds=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(application, "one_transaction", slow)
        yield


@pytest.mark.parametrize(("before", "late"), [(1.5, False), (1, True), (0.5, True)])
def test_a_key_that_ends_during_the_commit_lets_nobody_in(
    app: Flask, cast: Cast, clock: Clock, agent: RealAgent, before: float, late: bool
) -> None:
    key = issued_key(app, cast, cast.acme, HOUR)
    agent.sign_in(cast.pat, key)
    clock.advance(seconds=HOUR - before)
    with commits_take_a_second(clock):
        inspected = agent.ask("POST", "/keys/inspect", {"registration_key": key})
        assert inspected.json["state"] == ("expired" if late else "active")
        clock.advance(seconds=-1)
        beat = agent.ask("GET", "/session")
        assert (beat.status, beat.code) == ((401, "key_expired") if late else (200, None))
        clock.advance(seconds=-1)
        other = RealAgent(agent.send, "02:00:00:00:00:07")
        answer = other.sign_in(cast.dev, key)
        assert (answer.status, answer.code) == ((403, "key_expired") if late else (201, None))
