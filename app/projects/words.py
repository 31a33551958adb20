"""Which projects hold some words: asks the index of texts that either kind of database keeps.

SQLite has one of all three characters that follow each other (FTS5, trigrams); a word of one or two
characters is looked up as all the entries that begin with it. PostgreSQL has one of all one, two
and three characters.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    and_,
    column,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute

from app.models import ProjectSearch

ENTRY = 3
"""How many characters an entry of the index has."""
MANY_ENTRIES = 100
"""A short word that begins more entries of SQLite's index is not looked up."""
EVERYWHERE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789@._-")
_LAST_CHARACTER = "\U0010ffff"
_IN_NO_TEXT = '"\x01\x01\x01"'

_words = table("project_words", column("rowid"))
_terms = table("project_terms", column("term", Text))


def holds_all(words: Sequence[str], text: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """Whether a project's text holds every one of `words`, whatever comes before and after."""
    return and_(*(text.contains(word, autoescape=True) for word in words))


def looked_up(words: list[str], dialect: str) -> list[str]:
    """Those of `words` to look up: on SQLite short ones only if there are no others."""
    long = [word for word in words if len(word) >= ENTRY]
    return long or words if dialect == "sqlite" else words


def indexed(words: list[str], dialect: str) -> Select[Any]:
    """The ids of the projects that hold every one of `words`, by the index.

    Incomplete if one of them `begins_many` entries.
    """
    if dialect == "sqlite":
        return select(_words.c.rowid.label("project_id")).where(_match(words))
    grams = literal(sorted(_grams(words)), ARRAY(Text))
    return select(ProjectSearch.project_id).where(
        func.search_grams(ProjectSearch.text).op("@>")(grams), holds_all(words, ProjectSearch.text)
    )


def are_everywhere(words: list[str]) -> bool:
    """Whether one of `words` is a character that the addresses and IDs of most projects hold."""
    return any(len(word) == 1 and word in EVERYWHERE for word in words)


def begins_many(words: list[str], dialect: str) -> ColumnElement[bool]:
    """Whether a short one of `words` begins too many entries of SQLite's index to look them up."""
    short = [word for word in words if len(word) < ENTRY] if dialect == "sqlite" else []
    counts = [
        select(func.count()).select_from(_entries(word, MANY_ENTRIES + 1).subquery())
        for word in short
    ]
    return or_(false(), *(count.scalar_subquery() > MANY_ENTRIES for count in counts))


def _match(words: list[str]) -> ColumnElement[bool]:
    query: ColumnElement[str] = literal("")
    for number, word in enumerate(words):
        query = query + (" AND " if number else "") + _one(word)
    return literal_column("project_words").op("MATCH")(func.coalesce(query, _IN_NO_TEXT))


def _one(word: str) -> ColumnElement[str]:
    """A word as FTS5 is asked for it; NULL if a short one begins no entry."""
    if len(word) >= ENTRY:
        return literal(_quoted(word))
    entries = _entries(word, MANY_ENTRIES).subquery()
    quoted = '"' + func.replace(entries.c.term, '"', '""') + '"'
    joined = select("(" + func.group_concat(quoted, " OR ") + ")")
    return joined.select_from(entries).scalar_subquery()


def _entries(word: str, limit: int) -> Select[Any]:
    """Entries of the index that begin with a short word."""
    last = word + _LAST_CHARACTER
    return select(_terms.c.term).where(_terms.c.term >= word, _terms.c.term < last).limit(limit)


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'


def _grams(words: list[str]) -> set[str]:
    """The longest entries of PostgreSQL's index that texts with all of `words` have."""
    grams = set()
    for word in words:
        size = min(len(word), ENTRY)
        grams |= {word[start : start + size] for start in range(len(word) - size + 1)}
    return grams
