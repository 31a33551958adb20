"""What was true before the commit and is not after it, because the commit took too long."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask

from app.extensions import db
from app.web import application
from tests.agents.api_stage import RealAgent, to_the_app
from tests.agents.stage import issue, text_of
from tests.conftest import NOW, Cast, Clock

MINUTE = 60


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


@pytest.mark.parametrize("before", [1.5, 1, 0.5])
def test_a_key_that_ends_during_the_commit_lets_nobody_in(
    app: Flask, cast: Cast, clock: Clock, agent: RealAgent, before: float
) -> None:
    late = before <= 1
    with app.app_context():
        key = text_of(issue(db.session(), cast, cast.acme, NOW, MINUTE))
        db.session.commit()
    agent.sign_in(cast.pat, key)
    clock.advance(seconds=MINUTE - before)
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
