"""What a policy says of new keys: the tightest of settings, installation and organisation (pure).

Each rule is looked at by itself. A looser value than one above it is kept without effect.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar

from app.access.patterns import compiled, fits
from app.core.durations import KeyLimits, format_ttl
from app.core.errors import InvalidInput
from app.core.text import REASON_LENGTH
from app.licenses.option_rules import KeyOptions

T = TypeVar("T")
NEVER = 2**31 - 1
"""As a TTL above which a second super admin approves: no key is so long."""
ALWAYS = 0


class Level(StrEnum):
    """Who sets a rule, from the outermost in; the value stands in sentences."""

    SETTINGS = "the portal's settings"
    INSTALLATION = "the policy"
    ORGANISATION = "this organisation's policy"

    @property
    def ceiling(self) -> str:
        """Its ceiling, as sentences name it."""
        return _CEILINGS[self]


_CEILINGS = {
    Level.SETTINGS: "the ceiling of the portal's settings (PORTAL_LICENSE_TTL_MAX)",
    Level.INSTALLATION: "the policy's ceiling",
    Level.ORGANISATION: "the ceiling of this organisation's policy",
}


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
    """Whether partners and developers may ask for keys."""


RULES = tuple(field.name for field in fields(Policy))
UNSET = Policy()


class Rule(NamedTuple, Generic[T]):
    """A value in force, and who has set it: the settings too where it is as it always is."""

    value: T
    level: Level = Level.SETTINGS


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

    @property
    def longest_freely(self) -> int:
        """How long a key may be without being cut or waiting for anybody."""
        return min(self.ceiling.value, self.approval_above.value)

    def limits(self, choices: tuple[int, ...]) -> KeyLimits:
        """The limits of a key under this policy, `choices` being the settings' TTLs."""
        ceiling, level = self.ceiling
        if level is not Level.SETTINGS:
            choices = (*(choice for choice in choices if choice < ceiling), ceiling)
        return KeyLimits(choices, ceiling, level.ceiling)

    @property
    def asks(self) -> bool:
        """Whether it asks for something besides a length."""
        required = (self.reason_required, self.ticket_required, self.recipient_required)
        return any(rule.value for rule in required) or self.use_within.value is not None

    def default_choice(self, choices: Sequence[int], last: int | None = None) -> int:
        """Which of the TTLs offered is chosen at first.

        The `last` that this person chose, if it still is one and not above the ceiling; else the
        longest that is no longer than the default, else the shortest, which will be cut.
        """
        if last is not None and last in choices and last <= self.ceiling.value:
            return last
        return max((c for c in choices if c <= self.default_ttl.value), default=min(choices))


class Allowed(NamedTuple):
    """What a key may carry, and in words what the policy has cut or added."""

    options: KeyOptions
    cuts: tuple[str, ...]


def apply_policy(options: KeyOptions, holds: PolicyInForce, *, cut: Sequence[int] = ()) -> Allowed:
    """`options` as a key may have them under the policy in force, and what of them it changed.

    `options` are as `checked_options` gives them; what is left is for `key_window` to check with
    the policy's limits. A TTL above the ceiling is cut if it is one of `cut`, those on offer;
    where none are, it is refused. Raises InvalidInput with the field "reason", "ticket",
    "recipient", "ttl" or "use_within".
    """
    check_reason(options.reason, holds)
    _check_ticket(options.ticket, holds)
    if holds.recipient_required.value and not options.recipient:
        raise InvalidInput(
            "recipient", f"Choose for whom it is: {holds.recipient_required.level} asks for that."
        )
    cuts = []
    ceiling, within = holds.ceiling, holds.use_within
    if options.ends_at is None and options.ttl > ceiling.value:
        longest = f"{format_ttl(ceiling.value)}: {ceiling.level.ceiling}"
        if not cut:
            raise InvalidInput("ttl", f"A key works for at most {longest}.")
        if options.ttl in cut:
            cuts.append(f"cut to {longest}")
            options = replace(options, ttl=ceiling.value)
    if within.value is not None:
        options = replace(options, use_within=options.use_within or within.value)
        if (options.use_within or 0) > within.value:
            raise InvalidInput(
                "use_within", f"At most {format_ttl(within.value)}: that is set by {within.level}."
            )
        if options.use_within == within.value and (options.ends_at or options.ttl > within.value):
            cuts.append(f"to be used within {format_ttl(within.value)}: {within.level}")
    return Allowed(options, tuple(cuts))


def check_reason(reason: str, holds: PolicyInForce) -> None:
    """Raise InvalidInput (field "reason") for a reason that is missing or too short."""
    if not reason:
        if holds.reason_required.value:
            level = holds.reason_required.level
            raise InvalidInput("reason", f"Say why: {level} asks for a reason.")
        return
    least = holds.reason_length
    if len(reason) < least.value:
        raise InvalidInput(
            "reason", f"Write at least {least.value} characters: that is set by {least.level}."
        )


def _check_ticket(ticket: str, holds: PolicyInForce) -> None:
    if not ticket:
        if holds.ticket_required.value:
            level = holds.ticket_required.level
            raise InvalidInput("ticket", f"Give a ticket: {level} asks for one.")
        return
    for pattern, level in holds.ticket_patterns:
        try:
            good = fits(ticket, pattern)
        except InvalidInput as error:
            raise InvalidInput("ticket", f"{error.detail} It is set by {level}.") from None
        if not good:
            raise InvalidInput(
                "ticket", f"This does not fit the pattern {pattern}, set by {level}."
            )


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

    lowest = tightest("ceiling", _is_less, Rule(ceiling))
    return PolicyInForce(
        ceiling=lowest,
        default_ttl=_default_ttl(default_ttl, levels, lowest),
        use_within=tightest("use_within", _is_shorter, Rule(None)),
        approval_above=tightest("approval_above", _is_less, Rule(NEVER)),
        reason_required=tightest("reason_required", _is_more, Rule(False)),
        reason_length=tightest("reason_length", _is_more, Rule(0)),
        ticket_required=tightest("ticket_required", _is_more, Rule(False)),
        ticket_patterns=tuple(
            Rule(policy.ticket_pattern, level)
            for level, policy in levels.items()
            if policy.ticket_pattern
        ),
        recipient_required=tightest("recipient_required", _is_more, Rule(False)),
        partners_may_ask=tightest("partners_may_ask", _is_less, Rule(True)),
    )


def _is_less(value: int, than: int) -> bool:
    return value < than


def _is_more(value: int, than: int) -> bool:
    return value > than


def _is_shorter(value: int, than: int | None) -> bool:
    return than is None or value < than


def _default_ttl(settings: int, levels: dict[Level, Policy], ceiling: Rule[int]) -> Rule[int]:
    """The innermost one that is set, cut to the ceiling."""
    rule = Rule(settings)
    for level, policy in levels.items():
        if policy.default_ttl is not None:
            rule = Rule(policy.default_ttl, level)
    return rule if rule.value <= ceiling.value else ceiling


def without_effect(policy: Policy, level: Level, holds: PolicyInForce) -> list[str]:
    """The names of the rules that `policy` sets at `level`, and that another level has set tighter.

    One pattern beside another always has an effect.
    """
    named = [name for name in RULES if name != "ticket_pattern"]
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
        compiled(policy.ticket_pattern)


LONGEST_LEAST = REASON_LENGTH
"""The most that may be asked of a reason: no longer one is taken."""
