"""What a policy says of new keys: the tightest of settings, installation and organisation (pure).

Each rule is looked at by itself. A looser value than one above it is kept without effect.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar

import regex

from app.core.durations import format_ttl, parse_ttl, short_ttl
from app.core.errors import InvalidInput, MalformedTTL

T = TypeVar("T")

NEVER = 2**31 - 1
"""As a TTL above which a second super admin approves: no key is so long."""
ALWAYS = 0
LONGEST_PATTERN = 200
PATTERN_SECONDS = 0.1
"""How long a ticket may be held against a pattern."""


class Level(StrEnum):
    """Who sets a rule, from the outermost in; the value stands in sentences."""

    SETTINGS = "the portal's settings"
    INSTALLATION = "the portal's policy"
    ORGANISATION = "this organisation's policy"


@dataclass(frozen=True)
class Policy:
    """What one level sets; None is what it leaves to those above. Lengths are in seconds."""

    ceiling: int | None = None
    default_ttl: int | None = None
    use_within: int | None = None
    """The longest that a key may wait for its first use."""
    approval_above: int | None = None
    """A longer key needs a second super admin; ALWAYS or NEVER."""
    reason_required: bool | None = None
    reason_length: int | None = None
    """The least number of characters of a reason that is given or required."""
    ticket_required: bool | None = None
    ticket_pattern: str | None = None
    recipient_required: bool | None = None
    partners_may_ask: bool | None = None


RULES = tuple(field.name for field in fields(Policy))
UNSET = Policy()


class Rule(NamedTuple, Generic[T]):
    """A value in force, and who has set it; nobody (None) where it is as it always is."""

    value: T
    level: Level | None


@dataclass(frozen=True)
class PolicyInForce:
    """Each rule as it holds for one organisation, or for the installation as a whole."""

    ceiling: Rule[int]
    default_ttl: Rule[int]
    use_within: Rule[int | None]
    approval_above: Rule[int]
    reason_required: Rule[bool]
    reason_length: Rule[int]
    ticket_required: Rule[bool]
    ticket_patterns: tuple[Rule[str], ...]
    """All of them: a ticket must fit each."""
    recipient_required: Rule[bool]
    partners_may_ask: Rule[bool]

    def needs_approval(self, seconds: int) -> bool:
        """Whether a second super admin must approve a key of this length."""
        return seconds > self.approval_above.value

    def cut_ttl(self, ttl: int) -> int:
        """`ttl`, or the ceiling where that is less."""
        return min(ttl, self.ceiling.value)


def in_force(
    *, ceiling: int, default_ttl: int, installation: Policy, organisation: Policy = UNSET
) -> PolicyInForce:
    """The rules that hold, of the settings' `ceiling` and `default_ttl` (seconds) and two policies.

    Of equal values the outermost level has set it.
    """
    levels = {Level.INSTALLATION: installation, Level.ORGANISATION: organisation}

    def tightest(name: str, tighter: Callable[[Any, Any], bool], unset: Rule[Any]) -> Rule[Any]:
        rule = unset
        for level, policy in levels.items():
            value = getattr(policy, name)
            if value is not None and tighter(value, rule.value):
                rule = Rule(value, level)
        return rule

    lowest = tightest("ceiling", _is_less, Rule(ceiling, Level.SETTINGS))
    return PolicyInForce(
        ceiling=lowest,
        default_ttl=_default_ttl(default_ttl, levels, lowest),
        use_within=tightest("use_within", _is_shorter, Rule(None, None)),
        approval_above=tightest("approval_above", _is_less, Rule(NEVER, None)),
        reason_required=tightest("reason_required", _is_more, Rule(False, None)),
        reason_length=tightest("reason_length", _is_more, Rule(0, None)),
        ticket_required=tightest("ticket_required", _is_more, Rule(False, None)),
        ticket_patterns=tuple(
            Rule(policy.ticket_pattern, level)
            for level, policy in levels.items()
            if policy.ticket_pattern
        ),
        recipient_required=tightest("recipient_required", _is_more, Rule(False, None)),
        partners_may_ask=tightest("partners_may_ask", _is_less, Rule(True, None)),
    )


def _is_less(value: int, than: int) -> bool:
    return value < than


def _is_more(value: int, than: int) -> bool:
    return value > than


def _is_shorter(value: int, than: int | None) -> bool:
    return than is None or value < than


def _default_ttl(settings: int, levels: dict[Level, Policy], ceiling: Rule[int]) -> Rule[int]:
    """The innermost one that is set, cut to the ceiling."""
    rule = Rule(settings, Level.SETTINGS)
    for level, policy in levels.items():
        if policy.default_ttl is not None:
            rule = Rule(policy.default_ttl, level)
    return rule if rule.value <= ceiling.value else ceiling


def without_effect(policy: Policy, level: Level, holds: PolicyInForce) -> list[str]:
    """The names of the rules that `policy` sets at `level`, and that another level has set tighter.

    A default TTL, and one pattern beside another, always have an effect.
    """
    named = [name for name in RULES if name not in ("default_ttl", "ticket_pattern")]
    return [
        name
        for name in named
        if getattr(policy, name) is not None
        and getattr(holds, name).level is not level
        and getattr(holds, name).value != getattr(policy, name)
    ]


def check_policy(policy: Policy, choices: Sequence[int], use_within: Sequence[int]) -> None:
    """Raises InvalidInput, with the rule's name, for a value that no key could keep to.

    `choices` are the settings' TTLs, `use_within` those that a form offers, in seconds.
    """
    if policy.ceiling is not None and policy.ceiling < 1:
        raise InvalidInput("ceiling", "A ceiling is at least one second.")
    if policy.default_ttl is not None and policy.default_ttl not in choices:
        offered = ", ".join(map(format_ttl, choices))
        raise InvalidInput("default_ttl", f"Choose one of the TTLs offered: {offered}.")
    if policy.use_within is not None and policy.use_within not in use_within:
        offered = ", ".join(map(format_ttl, use_within))
        raise InvalidInput("use_within", f"Choose one of these: {offered}.")
    if policy.reason_length is not None and not 0 <= policy.reason_length <= LONGEST_LEAST:
        raise InvalidInput("reason_length", f"Write a whole number from 0 to {LONGEST_LEAST}.")
    if policy.ticket_pattern:
        _compiled(policy.ticket_pattern)


LONGEST_LEAST = 200
"""The most that may be asked of a reason, which has at most 500 characters."""


def read(name: str, text: str) -> int | bool | str | None:
    """The value of a rule as commands and forms write it; None for a blank one.

    Lengths are TTLs ("4h"), `approval_above` also "never" and "always", the rest "on" and "off", a
    whole number, or a pattern. Raises InvalidInput with the rule's name.
    """
    text = text.strip()
    if not text:
        return None
    if name == "ticket_pattern":
        return text
    if name == "reason_length":
        return _whole_number(name, text)
    if name in LENGTHS:
        return _length(name, text)
    if text not in SWITCH:
        raise InvalidInput(name, f"{text[:40]!r} is not understood; write on or off.")
    return SWITCH[text]


def written(name: str, value: int | bool | str | None) -> str:
    """A rule's value as `read` reads it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if name in LENGTHS and isinstance(value, int):
        return WORDS.get(value) or short_ttl(value)
    return str(value)


LENGTHS = ("ceiling", "default_ttl", "use_within", "approval_above")
SWITCH = {"on": True, "off": False}
WORDS = {ALWAYS: "always", NEVER: "never"}


def _whole_number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise InvalidInput(name, f"Write a whole number from 0 to {LONGEST_LEAST}.")
    return int(text)


def _length(name: str, text: str) -> int:
    words = {word: value for value, word in WORDS.items()}
    if name == "approval_above" and text in words:
        return words[text]
    try:
        return parse_ttl(text)
    except MalformedTTL as error:
        raise InvalidInput(name, error.detail) from None


def fits(ticket: str, pattern: str) -> bool:
    """Whether the whole of `ticket` fits a pattern.

    Raises InvalidInput (field "ticket_pattern") if the pattern cannot be read, or takes longer than
    a tenth of a second with this ticket.
    """
    try:
        return _compiled(pattern).fullmatch(ticket, timeout=PATTERN_SECONDS) is not None
    except TimeoutError:
        raise InvalidInput(
            "ticket_pattern",
            "The pattern takes too long with this ticket: write it without repetitions within "
            "repetitions.",
        ) from None


def _compiled(pattern: str) -> "regex.Pattern[str]":
    if len(pattern) > LONGEST_PATTERN:
        sentence = f"A pattern has at most {LONGEST_PATTERN} characters."
        raise InvalidInput("ticket_pattern", sentence)
    try:
        return regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError, MemoryError) as error:
        sentence = f"This is no pattern that can be read ({str(error)[:100]})."
        raise InvalidInput("ticket_pattern", sentence) from None
