"""A session from sign-in to its end, with clocks, network and waiting made up."""

import itertools
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import UNREACHABLE, FakePortal, World, lived, signed_in

from rolling_window_client.errors import PortalUnreachable, Refused, SessionEnded
from rolling_window_client.session import LONGEST_WAIT, Agent, Status

EXACT = 1e-5
"""Seconds: as exact as a number that holds the seconds since 1970 can be, many times added."""


@pytest.fixture
def world() -> World:
    return World()


def test_it_ends_at_the_expiry_to_the_instant(world: World) -> None:
    portal = FakePortal(world, ttl=60.0)
    ended, seconds = lived(world, signed_in(world, portal), portal)
    assert ended.code == "key_expired"
    assert seconds == pytest.approx(60.0, abs=EXACT)


@pytest.mark.parametrize(("before", "is_over"), [(-0.001, False), (0.0, True), (0.001, True)])
def test_whoever_asks_is_told_at_the_instant(world: World, before: float, is_over: bool) -> None:
    agent = signed_in(world, FakePortal(world, ttl=60.0))
    world.sleep(60.0 + before)
    assert (agent.ended is not None) == is_over


def test_it_does_not_come_back_to_life_when_the_clock_is_set_back(world: World) -> None:
    agent = signed_in(world, FakePortal(world, ttl=60.0))
    world.set_wall_clock(3600.0)
    assert agent.ended is not None
    world.set_wall_clock(-7200.0)
    with pytest.raises(SessionEnded, match="set forward") as raised:
        agent.check()
    assert raised.value.code == "key_expired"
    assert agent.status.seconds_left == 0


def test_heartbeats_come_at_the_interval(world: World) -> None:
    portal = FakePortal(world, ttl=21.0)
    lived(world, signed_in(world, portal), portal)
    assert portal.heartbeats == pytest.approx([5.0, 10.0, 15.0, 20.0])


def test_the_interval_that_the_portal_says_last_holds(world: World) -> None:
    portal = FakePortal(world, ttl=31.0)
    world.at(world.boot + 4, lambda: setattr(portal, "heartbeat_seconds", 10.0))
    lived(world, signed_in(world, portal), portal)
    assert portal.heartbeats == pytest.approx([5.0, 15.0, 25.0])


@pytest.mark.parametrize(
    "code",
    ["key_revoked", "license_revoked", "agent_blocked", "subscription_expired", "session_ended",
     "a_code_of_a_later_version"],
)  # fmt: skip
def test_the_portal_ends_it_within_one_heartbeat(world: World, code: str) -> None:
    portal = FakePortal(world)
    end = SessionEnded(code, "The portal's own sentence.")
    world.at(world.boot + 12.0, lambda: setattr(portal, "trouble", end))
    ended, seconds = lived(world, signed_in(world, portal), portal)
    assert (ended.code, ended.sentence) == (code, "The portal's own sentence.")
    assert seconds == pytest.approx(15.0)


def test_a_portal_that_is_gone_for_good_delays_nothing(world: World) -> None:
    portal = FakePortal(world, ttl=3600.0)
    portal.trouble = UNREACHABLE
    ended, seconds = lived(world, signed_in(world, portal), portal)
    assert ended.code == "key_expired"
    assert seconds == pytest.approx(3600.0, abs=EXACT)
    assert 3600 / 36 <= len(portal.heartbeats) <= 3600 / 24 + 10


def test_a_portal_that_hangs_delays_nothing(world: World) -> None:
    portal = FakePortal(world, ttl=60.0)
    agent = signed_in(world, portal)
    world.latency = lambda: None
    ended, seconds = lived(world, agent, portal)
    assert ended.code == "key_expired"
    assert seconds == pytest.approx(60.0, abs=EXACT)


def test_it_survives_a_restart_of_the_portal(world: World) -> None:
    portal = FakePortal(world, ttl=60.0)
    world.at(world.boot + 7.0, lambda: setattr(portal, "trouble", UNREACHABLE))
    world.at(world.boot + 12.0, lambda: setattr(portal, "trouble", None))
    agent = signed_in(world, portal)
    seen: list[Any] = []
    agent.run(lambda status: seen.append(status.trouble))
    first, last = seen.index(str(UNREACHABLE)), len(seen) - 1 - seen[::-1].index(str(UNREACHABLE))
    assert set(seen[first:last]) == {str(UNREACHABLE)}, "one trouble, told without a gap"
    assert seen[-1] is None
    assert world.boot - portal.started_at == pytest.approx(60.0, abs=EXACT)


def test_a_revocation_that_was_missed_is_learned_of_when_the_portal_is_back(world: World) -> None:
    portal = FakePortal(world, ttl=600.0)
    world.at(world.boot + 7.0, lambda: setattr(portal, "trouble", UNREACHABLE))
    end = SessionEnded("key_revoked", "Revoked.")
    world.at(world.boot + 100.0, lambda: setattr(portal, "trouble", end))
    ended, seconds = lived(world, signed_in(world, portal), portal)
    assert ended.code == "key_revoked"
    assert 100 <= seconds <= 100 + 36


def test_throttling_is_no_trouble_and_is_heeded(world: World) -> None:
    portal = FakePortal(world, ttl=60.0)
    portal.trouble = Refused("throttled", "Too often.", status=429, retry_after=42.0)
    agent = signed_in(world, portal)
    seen: set[str | None] = set()
    agent.run(lambda status: seen.add(status.trouble))
    assert portal.heartbeats == pytest.approx([5.0, 47.0])
    assert seen == {None}
    assert world.boot - portal.started_at == pytest.approx(60.0, abs=EXACT)


def test_retry_after_longer_than_the_time_left_delays_nothing(world: World) -> None:
    portal = FakePortal(world, ttl=60.0)
    portal.trouble = PortalUnreachable("Busy.", retry_after=300.0)
    _, seconds = lived(world, signed_in(world, portal), portal)
    assert seconds == pytest.approx(60.0, abs=EXACT)
    assert portal.heartbeats == pytest.approx([5.0])


def test_a_refusal_of_another_kind_is_tried_again(world: World) -> None:
    portal = FakePortal(world, ttl=60.0)
    portal.trouble = Refused("method_not_allowed", "No.", status=405)
    ended, _ = lived(world, signed_in(world, portal), portal)
    assert ended.code == "key_expired"
    assert len(portal.heartbeats) > 3


def test_a_machine_that_slept_past_the_end_notices_at_once(world: World) -> None:
    portal = FakePortal(world, ttl=3600.0)
    world.at(world.boot + 100.0, lambda: world.sleep(8 * 3600.0))
    ended, seconds = lived(world, signed_in(world, portal), portal)
    assert ended.code == "key_expired"
    assert seconds <= 100 + 8 * 3600 + LONGEST_WAIT


def test_it_never_waits_for_longer_than_a_second_at_once(world: World) -> None:
    portal = FakePortal(world, ttl=None, heartbeat_seconds=60.0)
    agent = signed_in(world, portal)
    world.at(world.boot + 300.0, agent.stop)
    agent.run()
    assert world.longest_wait <= LONGEST_WAIT


def test_a_machine_that_slept_asks_the_portal_as_soon_as_it_is_awake(world: World) -> None:
    portal = FakePortal(world, ttl=36_000.0, heartbeat_seconds=60.0)
    end = SessionEnded("key_revoked", "Revoked.")
    world.at(world.boot + 10.0, lambda: setattr(portal, "trouble", end))
    world.at(world.boot + 10.0, lambda: world.sleep(3600.0))
    ended, seconds = lived(world, signed_in(world, portal), portal)
    assert ended.code == "key_revoked"
    assert seconds <= 3610 + LONGEST_WAIT


def test_a_permanent_license_goes_on_without_the_portal(world: World) -> None:
    portal = FakePortal(world, ttl=None)
    portal.trouble = UNREACHABLE
    agent = signed_in(world, portal)
    seen: list[Any] = []
    world.at(world.boot + 86_400.0, agent.stop)
    ended = agent.run(seen.append)
    assert ended.code == "signed_out"
    assert seen[-1] == Status(None, str(UNREACHABLE))


def test_signing_out_is_told_to_the_portal_once(world: World) -> None:
    portal = FakePortal(world)
    agent = signed_in(world, portal)
    world.at(world.boot + 7.0, agent.stop)
    ended, seconds = lived(world, agent, portal)
    assert ended.code == "signed_out"
    assert seconds == pytest.approx(7.0)
    assert agent.confirm()
    assert portal.ends == pytest.approx([7.0])


def test_signing_out_after_the_end_does_not_change_how_it_ended(world: World) -> None:
    portal = FakePortal(world, ttl=60.0)
    agent = signed_in(world, portal)
    world.sleep(61.0)
    assert agent.sign_out().code == "key_expired"
    assert portal.ends == pytest.approx([61.0])


def test_two_threads_that_end_it_at_once_end_it_once(world: World) -> None:
    agent = signed_in(world, FakePortal(world))
    first = agent._end("signed_out")
    assert agent._end("key_revoked", "Revoked.") is first
    assert agent.ended is first


def test_the_end_is_not_confirmed_by_a_portal_that_is_gone(world: World) -> None:
    portal = FakePortal(world)
    portal.trouble = UNREACHABLE
    agent = signed_in(world, portal)
    assert not agent.confirm()
    world.latency = lambda: None
    before = world.boot
    assert not agent.confirm()
    assert world.boot - before <= 3.0


def test_an_extended_key_goes_on_until_its_new_end(world: World) -> None:
    """The heartbeat carries the new end: no new paste, and not a second longer than that."""
    portal = FakePortal(world, ttl=60.0)
    agent = signed_in(world, portal)
    world.at(world.boot + 22.0, lambda: setattr(portal, "ends_at", portal.started_at + 100.0))
    ended, after = lived(world, agent, portal)
    assert ended.code == "key_expired"
    assert after == pytest.approx(100.0, abs=EXACT)


def test_a_portal_whose_clock_is_set_back_lengthens_nothing(world: World) -> None:
    portal = FakePortal(world, ttl=60.0)
    world.at(world.boot + 7.0, lambda: setattr(portal, "clock_is_set_back_by", 3600.0))
    _, seconds = lived(world, signed_in(world, portal), portal)
    assert seconds == pytest.approx(60.0, abs=EXACT)


def test_a_session_that_gets_an_expiry_ends_by_it(world: World) -> None:
    portal = FakePortal(world, ttl=None)
    agent = signed_in(world, portal)
    portal.ends_at = world.boot + 30.0
    ended, seconds = lived(world, agent, portal)
    assert ended.code == "key_expired"
    assert seconds == pytest.approx(30.0, abs=EXACT)


def test_a_session_that_is_over_from_the_start_ends_before_it_begins(world: World) -> None:
    portal = FakePortal(world, ttl=0.0)
    ended, seconds = lived(world, signed_in(world, portal), portal)
    assert (ended.code, seconds) == ("key_expired", 0.0)
    assert portal.heartbeats == []


def test_the_countdown_skips_no_second(world: World) -> None:
    portal = FakePortal(world, ttl=20.4)
    agent = signed_in(world, portal)
    seen: list[Any] = []
    agent.run(lambda status: seen.append(int((status.seconds_left or 0) + 1e-9)))
    assert sorted(set(seen), reverse=True) == list(range(20, -1, -1))


def test_how_far_the_clocks_are_apart_is_known(world: World) -> None:
    world.set_wall_clock(-7200.0)
    agent = signed_in(world, FakePortal(world))
    assert agent.portal_clock_ahead == pytest.approx(7200.0)


def test_nothing_secret_shows_in_a_representation(world: World) -> None:
    portal = FakePortal(world)
    assert "a-token" not in repr(signed_in(world, portal)) + repr(vars(portal))


happenings = st.lists(
    st.tuples(
        st.floats(0, 130),
        st.one_of(
            st.tuples(st.just("portal gone"), st.booleans()),
            st.tuples(st.just("latency"), st.one_of(st.none(), st.floats(0, 40))),
            st.tuples(st.just("wall clock set"), st.floats(-1e5, 1e5)),
            st.tuples(st.just("portal's clock set back"), st.floats(0, 1e5)),
        ),
    ),
    max_size=8,
)


def bring_about(world: World, portal: FakePortal, what: str, value: float | bool | None) -> None:
    match what:
        case "portal gone":
            portal.trouble = UNREACHABLE if value else None
        case "latency":
            world.latency = partial(next, itertools.repeat(value))
        case "wall clock set":
            world.set_wall_clock(float(value or 0))
        case _:
            portal.clock_is_set_back_by = float(value or 0)


def life_among(
    happening: list[tuple[float, tuple[str, float | bool | None]]], ttl: float, took: float
) -> tuple[Agent, float]:
    world = World()
    portal = FakePortal(world, ttl=ttl)
    for after, (what, value) in happening:
        world.at(world.boot + took + after, partial(bring_about, world, portal, what, value))
    agent = signed_in(world, portal, took)
    agent.run()
    return agent, world.boot - portal.started_at


@settings(max_examples=300)
@given(happenings, st.floats(1, 120), st.floats(0, 5))
def test_whatever_happens_it_is_never_late(
    happening: list[tuple[float, tuple[str, float | bool | None]]], ttl: float, took: float
) -> None:
    _, seconds = life_among(happening, ttl, took)
    assert seconds <= max(ttl, took) + EXACT


@settings(max_examples=300)
@given(happenings, st.floats(1, 120), st.floats(0, 5))
def test_whatever_the_network_does_it_is_early_by_the_sign_in_at_most(
    happening: list[tuple[float, tuple[str, float | bool | None]]], ttl: float, took: float
) -> None:
    network_only = [one for one in happening if one[1][0] in {"portal gone", "latency"}]
    agent, seconds = life_among(network_only, ttl, took)
    assert agent.ended is not None
    assert agent.ended.code == "key_expired"
    assert seconds >= ttl - took - EXACT
