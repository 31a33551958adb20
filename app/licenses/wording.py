"""What a key will do, in plain words. Pure functions."""

from datetime import datetime, tzinfo
from typing import NamedTuple

from app.core.text import shortened
from app.licenses.key_records import KeyRecord
from app.licenses.option_rules import KeyOptions, KeyWindow

REASON_SHOWN = 40


class Moment(NamedTuple):
    """An instant in a sentence, in one of the styles of `core.clock.utc_text`.

    `moves` says that it counts from the moment at which the key is generated.
    """

    at: datetime
    style: str
    moves: bool


Sentence = tuple[str | Moment, ...]


def wording(options: KeyOptions, window: KeyWindow, zone: tzinfo) -> Sentence:
    """Who may sign in, how often, from where and when, with a key of these options.

    Of two instants on one day of `zone`, the later is told by its time alone.
    """
    moves = options.starts_at is None or options.starts_at < window.starts_at
    start = Moment(window.starts_at, "long", moves)
    end = Moment(window.expires_at, "long", moves and options.ends_at is None)
    who = options.recipient or "Any partner or developer"
    said: list[str | Moment] = [f"{who} may sign in{_how_often(options.sign_ins)}"]
    if options.first_machine:
        said.append(", from the first machine they use,")
    if options.starts_at is None:
        said += [" until ", end]
    else:
        said += [" between ", start, " and ", _after(start, end, zone)]
    said.append(".")
    if window.use_by is not None:
        use_by = Moment(window.use_by, "long", moves)
        named = end if options.starts_at is None else start
        said += [" Not used by ", _after(named, use_by, zone), ", it expires."]
    return tuple(said)


def purpose(license: KeyRecord) -> str:
    """What tells a key apart in a list of one line each: for whom, and how its reason begins.

    It goes on after the state, with a dot before each; the reason may be written from right to
    left, so it is set apart by marks that nobody sees.
    """
    said = f" · for {license.recipient}" if license.recipient else ""
    if license.reason:
        said += f" · \u2068{shortened(license.reason, REASON_SHOWN)}\u2069"
    return said


def _how_often(sign_ins: int | None) -> str:
    if sign_ins is None:
        return ""
    return " once" if sign_ins == 1 else f" {sign_ins} times in all"


def _after(named: Moment, moment: Moment, zone: tzinfo) -> Moment:
    same_day = named.at.astimezone(zone).date() == moment.at.astimezone(zone).date()
    return moment._replace(style="time") if same_day else moment
