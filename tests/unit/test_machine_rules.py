"""Which registrations decide when a machine ID is sent, or a MAC ID that was found later."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agents.sign_in_rules import Admission, Person, Refusal, RegisteredAgent, decide
from app.licenses.rules import Inspection
from tests.unit.test_agent_rules import (
    ACTIVE,
    CLIENT,
    DEVELOPER,
    LAPSED,
    MACHINE,
    NO_ID,
    NO_KEY,
    OTHER,
    OTHER_DETACHED,
    OWN,
    OWN_DETACHED,
    OWN_REVOKED,
    PARTNER,
    machines,
)


def same_id(agent: RegisteredAgent, *, same_mac_id: bool = True) -> RegisteredAgent:
    """The agent, registered with the machine ID that is sent."""
    return replace(agent, same_machine_id=True, same_mac_id=same_mac_id)


def card_of(agent: RegisteredAgent) -> RegisteredAgent:
    """The agent, one of whose cards has the MAC ID that is sent; a machine ID is unknown."""
    return replace(agent, same_mac_id=False)


def other_id(agent: RegisteredAgent, *, same_mac_id: bool = True) -> RegisteredAgent:
    """The agent, registered with the MAC ID that is sent and another machine ID."""
    return replace(agent, same_machine_id=False, same_mac_id=same_mac_id)


OTHER_CARD = {"same_mac_id": False}
WITH_MACHINE_ID = [
    (2, CLIENT, NO_KEY, [same_id(OWN_DETACHED, **OTHER_CARD)], "agent_blocked"),
    (2, PARTNER, ACTIVE, [same_id(OTHER_DETACHED, **OTHER_CARD)], "agent_blocked"),
    (2, DEVELOPER, ACTIVE, [OWN_DETACHED], "agent_blocked"),
    (2, CLIENT, NO_KEY, [other_id(OWN_DETACHED)], "agent_blocked"),
    (2, PARTNER, ACTIVE, [same_id(OWN), OTHER_DETACHED], "agent_blocked"),
    (5, CLIENT, NO_KEY, [OTHER], "machine_registered_elsewhere"),
    (5, CLIENT, NO_KEY, [same_id(OTHER)], "machine_registered_elsewhere"),
    (6, CLIENT, NO_KEY, [other_id(OTHER), other_id(OWN)], None),
    (6, CLIENT, NO_KEY, [other_id(OWN_DETACHED, **OTHER_CARD)], None),
    (6, CLIENT, NO_KEY, [same_id(OTHER, **OTHER_CARD)], None),
    (7, CLIENT, NO_KEY, [OWN], OWN),
    (7, CLIENT, NO_KEY, [same_id(OWN, **OTHER_CARD)], OWN),
    (7, CLIENT, NO_KEY, [OTHER, same_id(OWN, **OTHER_CARD)], OWN),
    (7, CLIENT, NO_KEY, [same_id(OWN_REVOKED, **OTHER_CARD)], "license_revoked"),
    (7, LAPSED, NO_KEY, [same_id(OWN, **OTHER_CARD)], "subscription_expired"),
    (12, PARTNER, ACTIVE, [same_id(OTHER)], "machine_registered_elsewhere"),
    (12, DEVELOPER, ACTIVE, [same_id(OTHER, **OTHER_CARD)], "machine_registered_elsewhere"),
    (13, PARTNER, ACTIVE, [OTHER], None),
    (13, DEVELOPER, ACTIVE, [OWN], None),
    (13, PARTNER, ACTIVE, [other_id(OTHER), other_id(OWN)], None),
    (13, PARTNER, ACTIVE, [OTHER, same_id(OWN, **OTHER_CARD)], OWN),
    (13, PARTNER, ACTIVE, [same_id(OTHER, **OTHER_CARD), same_id(OWN)], OWN),
]
WITHOUT_MACHINE_ID = [
    (2, PARTNER, ACTIVE, [card_of(OTHER_DETACHED)], "agent_blocked"),
    (2, CLIENT, NO_KEY, [card_of(OWN_DETACHED)], "agent_blocked"),
    (6, CLIENT, NO_KEY, [card_of(OTHER)], None),
    (7, CLIENT, NO_KEY, [card_of(OWN)], OWN),
    (13, PARTNER, ACTIVE, [card_of(OTHER)], None),
    (13, PARTNER, ACTIVE, [card_of(OWN)], OWN),
    (12, PARTNER, ACTIVE, [card_of(OWN), OTHER], "machine_registered_elsewhere"),
]
IDENTIFIED = [(True, *row) for row in WITH_MACHINE_ID]
IDENTIFIED += [(False, *row) for row in WITHOUT_MACHINE_ID]


@pytest.mark.parametrize(("with_id", "row", "person", "key", "machines", "expected"), IDENTIFIED)
def test_the_table_by_machine_id_and_by_card(
    *,
    with_id: bool,
    row: int,
    person: Person,
    key: Inspection | None,
    machines: list[RegisteredAgent],
    expected: str | RegisteredAgent | None,
) -> None:
    answer = decide(person=person, key=key, agents=machines, machine=MACHINE if with_id else NO_ID)
    if isinstance(expected, str):
        assert isinstance(answer, Refusal)
        assert answer.code == expected
    else:
        assert isinstance(answer, Admission)
        assert (answer.agent and answer.agent.agent_id) == (expected and expected.agent_id)
        assert answer.registers is (row == 6)


@given(st.sampled_from([PARTNER, DEVELOPER]), machines)
def test_no_partner_is_shut_out_by_a_registration_that_has_only_the_mac_id(
    person: Person, fitting: list[RegisteredAgent]
) -> None:
    """Whoever knows a partner's MAC ID can register it, but not block it."""
    with_id = {"person": person, "key": ACTIVE, "machine": MACHINE}
    telling = [agent for agent in fitting if agent.same_machine_id or agent.blocks]
    assert decide(agents=fitting, **with_id) == decide(agents=telling, **with_id)


@given(st.sampled_from([PARTNER, DEVELOPER, CLIENT]), machines, st.booleans())
def test_nobody_is_shut_out_by_another_organisations_claim_of_a_card(
    person: Person, fitting: list[RegisteredAgent], with_id: bool
) -> None:
    key = NO_KEY if person is CLIENT else ACTIVE
    cards = [replace(OTHER, agent_id=2000 + i, same_mac_id=False) for i in range(2)]
    answers = [
        decide(person=person, key=key, agents=agents, machine=MACHINE if with_id else NO_ID)
        for agents in (fitting, [*cards, *fitting])
    ]
    assert answers[0] == answers[1]
