"""Random histories of keys with every option, against a small model of the contract."""

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from app.agents.heartbeats import LiveSession
from app.agents.sign_in import SignedIn
from app.core.errors import Conflict, InvalidInput
from app.licenses.option_rules import KeyOptions
from app.licenses.services import revoke_license
from tests.agents.stage import (
    HOUR,
    beat,
    extend,
    issue,
    refusal_of,
    text_of,
    try_to_sign_in,
)
from tests.conftest import NOW, Cast

SECOND = timedelta(seconds=1)
CEILING = 7 * 24 * HOUR


@dataclass
class Model:
    """A key as the contract has it, and nothing of how the portal keeps it. In seconds."""

    start: int
    end: int
    recipient: str
    sign_ins: int | None
    first_machine: bool
    use_by: int | None
    revoked_at: int | None = None
    used: int = 0
    machine: tuple[str, str] | None = None

    def has_ended(self, now: int) -> str | None:
        if self.revoked_at is not None:
            return "key_revoked"
        lapsed = not self.used and self.use_by is not None and now >= self.use_by
        return "key_expired" if lapsed or now >= self.end else None

    def sign_in(self, now: int, who: str, mac: str, machine_id: str) -> str | None:
        if code := self.has_ended(now):
            return code
        if now < self.start:
            return "key_not_yet_valid"
        if self.recipient and who != self.recipient:
            return "key_not_for_you"
        if self.sign_ins is not None and self.used >= self.sign_ins:
            return "key_used_up"
        if self.machine is not None:
            known_mac, known_id = self.machine
            if machine_id != known_id if known_id else mac != known_mac:
                return "key_bound_elsewhere"
        self.used += 1
        if self.first_machine:
            known_mac, known_id = self.machine or (mac, "")
            self.machine = (known_mac, known_id or machine_id)
        return None


HISTORIES = int(os.environ.get("KEY_HISTORIES", "15"))
"""How many are tried; for more: `KEY_HISTORIES=500 pytest tests/agents/test_key_histories.py`."""
MACS = ("00:1A:2B:3C:4D:5E", "00:1A:2B:3C:4D:5F")
steps = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([1, 60, 899, 900, 1800, 3599, 3600, 7200])),
    st.tuples(
        st.just("sign in"),
        st.sampled_from([Cast.pat, Cast.dev]),
        st.sampled_from(MACS),
        st.sampled_from(["", "one", "two"]),
    ),
    st.tuples(st.just("extend"), st.sampled_from([-1, 0, 60, 3600, 86_400, CEILING])),
    st.tuples(st.just("revoke")),
)
carried_by_keys = st.fixed_dictionaries(
    {
        "ttl": st.sampled_from([HOUR, 3 * HOUR]),
        "recipient": st.sampled_from(["", Cast.pat]),
        "start": st.sampled_from([None, 0, 60, 3600]),
        "sign_ins": st.sampled_from([None, 1, 2]),
        "first_machine": st.booleans(),
        "use_within": st.sampled_from([None, 900, HOUR]),
    }
)


@settings(max_examples=HISTORIES)
@given(carried=carried_by_keys, history=st.lists(steps, min_size=1, max_size=12))
def test_in_random_histories_nobody_gets_in_whom_the_model_refuses(
    app: Flask, session: Session, cast: Cast, carried: dict[str, Any], history: list[Any]
) -> None:
    start = carried["start"]
    options = KeyOptions(
        carried["ttl"],
        recipient=carried["recipient"],
        starts_at=None if start is None else NOW + start * SECOND,
        sign_ins=carried["sign_ins"],
        first_machine=carried["first_machine"],
        use_within=carried["use_within"],
    )
    license = issue(session, cast, ttl=carried["ttl"], options=options)
    begins, within = start or 0, carried["use_within"]
    end = begins + carried["ttl"]
    model = Model(
        begins,
        end,
        carried["recipient"],
        carried["sign_ins"],
        carried["first_machine"],
        begins + within if within and begins + within < end else None,
    )
    texts, now = [text_of(license)], 0
    for number, step in enumerate(history):
        at = NOW + now * SECOND
        match step:
            case ("wait", seconds):
                now += seconds
            case ("revoke",):
                revoke_license(session, actor=cast.actor(cast.ada), key_id=license.key_id, now=at)
                if model.has_ended(now) is None:
                    model.revoked_at = now
            case ("extend", more):
                allowed = model.has_ended(now) is None and more >= 0
                allowed = allowed and model.end + more - model.start <= CEILING
                new_end = NOW + (model.end + more) * SECOND
                try:
                    extend(session, cast, license, new_end, at)
                except (Conflict, InvalidInput):
                    assert not allowed
                else:
                    assert allowed
                    model.end += more
                    texts.append(text_of(license))
            case ("sign in", who, mac, machine_id):
                expected = model.sign_in(now, who, mac, machine_id)
                answer = try_to_sign_in(
                    session,
                    who,
                    texts[number % len(texts)],
                    now=at,
                    mac_id=mac,
                    machine_id=machine_id,
                )
                let_in = isinstance(answer, SignedIn)
                code = None if let_in else refusal_of(answer).code.value
                assert code == expected
                if let_in:
                    # An end of the session is the key's, not a second earlier or later.
                    live = beat(session, answer.token, at)
                    assert isinstance(live, LiveSession)
                    assert live.key_expires_at == NOW + model.end * SECOND
