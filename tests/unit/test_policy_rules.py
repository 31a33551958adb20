"""The policy in force, and what it makes of a key's options: by table and by property."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from time import monotonic
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access.patterns import LONGEST_PATTERN, compiled, fits
from app.access.policy_rules import (
    NEVER,
    RULES,
    UNSET,
    Level,
    Policy,
    PolicyInForce,
    apply_policy,
    check_policy,
    in_force,
    without_effect,
)
from app.access.policy_texts import read, written
from app.core.errors import InvalidInput
from app.licenses.option_rules import USE_WITHIN, KeyOptions, key_window

HOUR, DAY = 3600, 86_400
CHOICES = (HOUR, 3 * HOUR, DAY, 7 * DAY)
NOW = datetime(2026, 11, 24, 15, 40, tzinfo=UTC)

policies = st.builds(
    Policy,
    ceiling=st.none() | st.integers(1, 11 * DAY),
    default_ttl=st.none() | st.sampled_from(CHOICES),
    use_within=st.none() | st.sampled_from(USE_WITHIN),
    approval_above=st.none() | st.sampled_from([0, HOUR, DAY, NEVER]),
    reason_required=st.none() | st.booleans(),
    reason_length=st.none() | st.integers(0, 20),
    ticket_required=st.none() | st.booleans(),
    ticket_pattern=st.none() | st.sampled_from(["[A-Z]+-[0-9]+", ".{3,}"]),
    recipient_required=st.none() | st.booleans(),
)
options = st.builds(
    KeyOptions,
    ttl=st.sampled_from(CHOICES),
    reason=st.sampled_from(["", "Why", "A much longer reason for it"]),
    ticket=st.sampled_from(["", "A-1", "no ticket"]),
    recipient=st.sampled_from(["", "dev@example.com"]),
    ends_at=st.none() | st.integers(1, 30 * DAY).map(lambda s: NOW + timedelta(seconds=s)),
    use_within=st.none() | st.sampled_from(USE_WITHIN),
)


def holding(
    installation: Policy = UNSET, organisation: Policy = UNSET, ceiling: int = 7 * DAY
) -> PolicyInForce:
    return in_force(
        ceiling=ceiling, default_ttl=HOUR, installation=installation, organisation=organisation
    )


def length_of(asked: KeyOptions, holds: PolicyInForce) -> int | None:
    """How long a key is that these options give; None if they are refused."""
    try:
        allowed = apply_policy(asked, holds, cut=CHOICES)
        return key_window(allowed.options, holds.limits(CHOICES), NOW).ttl
    except InvalidInput:
        return None


@given(policies, policies, options)
def test_no_policy_lets_a_key_be_longer_than_the_settings(
    first: Policy, second: Policy, asked: KeyOptions
) -> None:
    length = length_of(asked, holding(first, second))
    assert length is None or length <= 7 * DAY


@given(policies, policies, options)
def test_a_further_policy_only_tightens(first: Policy, second: Policy, asked: KeyOptions) -> None:
    looser, tighter = holding(first), holding(first, second)
    before, after = length_of(asked, looser), length_of(asked, tighter)
    if before is None:
        assert after is None
    elif after is not None:
        assert after <= before
    assert tighter.ceiling.value <= looser.ceiling.value <= 7 * DAY
    for name in ("reason_required", "reason_length", "ticket_required", "recipient_required"):
        assert getattr(tighter, name).value >= getattr(looser, name).value
    assert tighter.approval_above.value <= looser.approval_above.value
    assert set(looser.ticket_patterns) <= set(tighter.ticket_patterns)
    if looser.use_within.value is not None:
        assert tighter.use_within.value is not None
        assert tighter.use_within.value <= looser.use_within.value


@given(policies, policies)
def test_which_of_two_policies_stands_further_out_makes_no_difference_to_what_holds(
    first: Policy, second: Policy
) -> None:
    """But for the default, of which the innermost counts."""
    values = []
    for one, other in permutations((first, second)):
        holds = holding(replace(one, default_ttl=None), replace(other, default_ttl=None))
        rules = [name for name in RULES if name != "ticket_pattern"]
        patterns = {pattern for pattern, _ in holds.ticket_patterns}
        values.append(([getattr(holds, name).value for name in rules], patterns))
    assert values[0] == values[1]


@given(policies, policies)
def test_each_rule_names_who_has_set_it(first: Policy, second: Policy) -> None:
    holds = holding(first, second)
    levels = {Level.INSTALLATION: first, Level.ORGANISATION: second}
    for name in RULES:
        if name in ("ticket_pattern", "default_ttl"):
            continue
        value, level = getattr(holds, name)
        if level is not Level.SETTINGS:
            assert getattr(levels[level], name) == value


@pytest.mark.parametrize(
    ("name", "outer", "inner", "value", "level"),
    [
        ("ceiling", 4 * HOUR, DAY, 4 * HOUR, Level.INSTALLATION),
        ("ceiling", DAY, 4 * HOUR, 4 * HOUR, Level.ORGANISATION),
        ("ceiling", DAY, DAY, DAY, Level.INSTALLATION),
        ("ceiling", 30 * DAY, None, 7 * DAY, Level.SETTINGS),
        ("default_ttl", 3 * HOUR, DAY, DAY, Level.ORGANISATION),
        ("default_ttl", 3 * HOUR, None, 3 * HOUR, Level.INSTALLATION),
        ("use_within", None, HOUR, HOUR, Level.ORGANISATION),
        ("use_within", 900, HOUR, 900, Level.INSTALLATION),
        ("approval_above", 0, NEVER, 0, Level.INSTALLATION),
        ("approval_above", NEVER, DAY, DAY, Level.ORGANISATION),
        ("reason_required", True, False, True, Level.INSTALLATION),
        ("reason_required", None, True, True, Level.ORGANISATION),
        ("reason_length", 10, 5, 10, Level.INSTALLATION),
        ("recipient_required", None, None, False, Level.SETTINGS),
    ],
)
def test_the_tightest_is_in_force(
    name: str, outer: object, inner: object, value: object, level: Level
) -> None:
    holds = holding(replace(UNSET, **{name: outer}), replace(UNSET, **{name: inner}))
    assert getattr(holds, name) == (value, level)
    looser = inner is not None and level is not Level.ORGANISATION and inner != value
    idle = without_effect(replace(UNSET, **{name: inner}), Level.ORGANISATION, holds)
    assert idle == ([name] if looser else [])


def test_a_default_above_the_ceiling_is_cut_to_it() -> None:
    holds = holding(Policy(ceiling=2 * HOUR, default_ttl=DAY))
    assert holds.default_ttl == (2 * HOUR, Level.INSTALLATION)
    assert holds.default_choice(CHOICES) == HOUR
    assert holding(Policy(ceiling=60)).default_choice(CHOICES) == HOUR


def test_what_was_chosen_last_goes_before_the_default_if_it_still_is_a_choice() -> None:
    holds = holding(Policy(ceiling=DAY, default_ttl=HOUR))
    assert holds.default_choice(CHOICES, DAY) == DAY
    assert holds.default_choice(CHOICES, HOUR + 1) == HOUR
    assert holding(Policy(ceiling=DAY - 1)).default_choice(CHOICES, DAY) == HOUR


REFUSED = [
    ("reason", {"reason_required": True}, {}, "Say why: the policy asks for a reason."),
    (
        "reason",
        {"reason_length": 5},
        {"reason": "Why?"},
        "Write at least 5 characters: that is set by the policy.",
    ),
    ("ticket", {"ticket_required": True}, {}, "Give a ticket: the policy asks for one."),
    (
        "ticket",
        {"ticket_pattern": "[A-Z]+-[0-9]+"},
        {"ticket": "OPS-1 and more"},
        "This does not fit the pattern [A-Z]+-[0-9]+, set by the policy.",
    ),
    (
        "recipient",
        {"recipient_required": True},
        {},
        "Choose for whom it is: the policy asks for that.",
    ),
    (
        "use_within",
        {"use_within": 900},
        {"use_within": HOUR},
        "At most 15 min: that is set by the policy.",
    ),
    (
        "ttl",
        {"ceiling": 4 * HOUR},
        {"ttl": DAY},
        "A key works for at most 4 hrs: the policy's ceiling.",
    ),
]


@pytest.mark.parametrize(("field", "rules", "asked", "sentence"), REFUSED)
def test_what_a_policy_refuses(
    field: str, rules: dict[str, Any], asked: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        apply_policy(KeyOptions(**{"ttl": HOUR} | asked), holding(Policy(**rules)))
    assert (refused.value.field, refused.value.detail) == (field, sentence)


def test_an_end_beyond_a_ceiling_is_refused_with_who_set_it() -> None:
    holds = holding(organisation=Policy(ceiling=4 * HOUR))
    late = KeyOptions(0, ends_at=NOW + timedelta(hours=5))
    with pytest.raises(InvalidInput, match="the ceiling of this organisation's policy") as refused:
        key_window(apply_policy(late, holds).options, holds.limits(CHOICES), NOW)
    assert refused.value.field == "ends_at"


def test_a_ttl_on_offer_is_cut_to_the_ceiling_and_said_so() -> None:
    holds = holding(Policy(ceiling=4 * HOUR, use_within=HOUR))
    allowed = apply_policy(KeyOptions(DAY), holds, cut=CHOICES)
    assert allowed.options == KeyOptions(4 * HOUR, use_within=HOUR)
    assert allowed.cuts == (
        "cut to 4 hrs: the policy's ceiling",
        "to be used within 1 hr: the policy",
    )
    assert key_window(allowed.options, holds.limits(CHOICES), NOW).ttl == 4 * HOUR


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (KeyOptions(DAY, use_within=HOUR), True),  # as the form has it chosen at first
        (KeyOptions(DAY, use_within=900), False),
        (KeyOptions(HOUR), False),  # no longer than that: it has no effect
        (KeyOptions(0, ends_at=NOW + timedelta(hours=9)), True),
    ],
)
def test_the_longest_time_to_be_used_in_is_named_as_the_policys(
    asked: KeyOptions, *, named: bool
) -> None:
    allowed = apply_policy(asked, holding(Policy(use_within=HOUR)))
    assert allowed.cuts == (("to be used within 1 hr: the policy",) if named else ())


def test_without_a_policy_nothing_is_changed() -> None:
    asked = KeyOptions(DAY, reason="x", ticket="y")
    assert apply_policy(asked, holding()) == (asked, ())
    assert holding().limits(CHOICES).choices == CHOICES


class TestPatterns:
    def test_the_whole_ticket_must_fit(self) -> None:
        assert fits("OPS-12", "[A-Z]+-[0-9]+")
        for ticket in ("OPS-12x", "xOPS-12", "ops-12", "", "OPS-12\n"):
            assert not fits(ticket, "[A-Z]+-[0-9]+")

    def test_one_that_takes_too_long_is_given_up_after_a_tenth_of_a_second(self) -> None:
        """Mallory's pattern would keep a portal busy for years."""
        began = monotonic()
        with pytest.raises(InvalidInput, match="takes too long") as refused:
            fits("a" * 63 + "!", "(a|aa)+(a|aa)+(a|aa)+$")
        assert refused.value.field == "ticket_pattern"
        assert monotonic() - began < 2

    @pytest.mark.parametrize(
        "pattern", ["(", "[a", "*", "(?P<x>a)(?P=y)", "a{2,1}", "\\", "(?au)x", "(?V0V1)x"]
    )
    def test_one_that_cannot_be_read_is_refused(self, pattern: str) -> None:
        with pytest.raises(InvalidInput, match="no pattern that can be read"):
            check_policy(Policy(ticket_pattern=pattern), CHOICES, USE_WITHIN)

    @pytest.mark.parametrize(
        "pattern",
        [
            "(?:(?:(?:(?:a{50}){50}){50}){50})",
            "(?x)(?:(?:(?:a) {50}) {50}(?#x)) {50}",
            "(?x)(?:(?:a)#\n{50})#\n{50}",
            "[0-9]{9999999}",
            "\\\\{9999999,}",
        ],
    )
    def test_one_whose_repetitions_fill_the_memory_is_refused_unread(self, pattern: str) -> None:
        """Mallory's pattern would take gigabytes before any ticket is held against it."""
        with pytest.raises(InvalidInput) as refused:
            check_policy(Policy(ticket_pattern=pattern), CHOICES, USE_WITHIN)
        assert refused.value.field == "ticket_pattern"

    def test_counts_of_usual_references_are_read(self) -> None:
        uuid = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
        assert fits("0a1b2c3d-0000-4000-8000-0123456789ab", uuid)
        assert fits("AB-12-12", "(?:[A-Z]{2})(?:-[0-9]{2}){2}")

    def test_a_long_one_is_refused(self) -> None:
        compiled("a" * LONGEST_PATTERN)
        with pytest.raises(InvalidInput, match="at most 200 characters"):
            compiled("a" * (LONGEST_PATTERN + 1))


@given(policies)
def test_what_is_written_is_read_again(policy: Policy) -> None:
    for name in RULES:
        value = getattr(policy, name)
        assert read(name, written(name, value)) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ceiling", "4"),
        ("ceiling", "always"),
        ("approval_above", "often"),
        ("use_within", "-1h"),
        ("reason_required", "yes"),
        ("reason_length", "-1"),
        ("reason_length", "²"),
        ("reason_length", "1" * 9),
    ],
)
def test_what_cannot_be_read_names_its_rule(name: str, text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(name, text)
    assert refused.value.field == name


@pytest.mark.parametrize(
    "policy",
    [
        Policy(ceiling=0),
        Policy(default_ttl=2 * HOUR),
        Policy(use_within=60),
        Policy(reason_length=501),
        Policy(reason_length=-1),
    ],
)
def test_a_value_that_no_key_could_keep_to_is_refused(policy: Policy) -> None:
    [name] = [name for name in RULES if getattr(policy, name) is not None]
    with pytest.raises(InvalidInput) as refused:
        check_policy(policy, CHOICES, USE_WITHIN)
    assert refused.value.field == name
