"""Which projects hold some words: asks the index of texts that either kind of database keeps.

SQLite has one of all three characters that follow each other (FTS5, trigrams); a word of one or two
characters is looked up as all the entries that begin with it. PostgreSQL has one of all one, two
and three characters.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    Text,
    and_,
    bindparam,
    column,
    false,
    func,
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
_ESCAPE = "/"

_words = table("project_words", column("rowid"))
_terms = table("project_terms", column("term", Text))


class Word(NamedTuple):
    """A word of a search, as statements know it: they are given the word itself as a value."""

    number: int
    length: int
    """At most ENTRY: what is longer makes no difference."""
    is_everywhere: bool
    """Whether it is a character that the addresses and IDs of most projects hold."""

    @property
    def name(self) -> str:
        return f"word_{self.number}"


def words_of(words: Sequence[str]) -> tuple[Word, ...]:
    """What statements know of `words`."""
    return tuple(
        Word(number, min(len(word), ENTRY), word in EVERYWHERE) for number, word in enumerate(words)
    )


def word_values(words: Sequence[str]) -> dict[str, Any]:
    """The values of all statements about `words`."""
    values: dict[str, Any] = {}
    for word, text in zip(words_of(words), words, strict=True):
        values[f"{word.name}_pattern"] = f"%{_escaped(text)}%"
        values[word.name] = text if word.length < ENTRY else '"' + text.replace('"', '""') + '"'
        values[f"{word.name}_last"] = text + _LAST_CHARACTER
        values[f"{word.name}_grams"] = _grams(text)
    return values


def holds_all(words: Sequence[Word], text: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """Whether a project's text holds every one of `words`, whatever comes before and after."""
    patterns = (bindparam(f"{word.name}_pattern", type_=Text) for word in words)
    return and_(*(text.like(pattern, escape=_ESCAPE) for pattern in patterns))


def looked_up(words: tuple[Word, ...], dialect: str) -> tuple[Word, ...]:
    """Those of `words` to look up: on SQLite short ones only if there are no long ones."""
    words = tuple(word for word in words if not word.is_everywhere)
    long = tuple(word for word in words if word.length == ENTRY)
    return long or words if dialect == "sqlite" else words


def indexed(words: Sequence[Word], dialect: str) -> Select[Any]:
    """The ids of the projects that hold every one of `words`, by the index.

    Incomplete if one of them `begins_many` entries.
    """
    if dialect == "sqlite":
        return select(_words.c.rowid.label("project_id")).where(_match(words))
    grams = func.search_grams(ProjectSearch.text)
    of_words = [bindparam(f"{word.name}_grams", type_=ARRAY(Text)) for word in words]
    return select(ProjectSearch.project_id).where(
        *(grams.op("@>")(of_word) for of_word in of_words), holds_all(words, ProjectSearch.text)
    )


def begins_many(words: Sequence[Word], dialect: str) -> ColumnElement[bool]:
    """Whether a short one of `words` begins too many entries of SQLite's index to look them up."""
    short = [word for word in words if word.length < ENTRY] if dialect == "sqlite" else []
    counts = [
        select(func.count()).select_from(_entries(word, MANY_ENTRIES + 1).subquery())
        for word in short
    ]
    return or_(false(), *(count.scalar_subquery() > MANY_ENTRIES for count in counts))


def _match(words: Sequence[Word]) -> ColumnElement[bool]:
    query: ColumnElement[str] = _one(words[0])
    for word in words[1:]:
        query = query + " AND " + _one(word)
    return literal_column("project_words").op("MATCH")(func.coalesce(query, _IN_NO_TEXT))


def _one(word: Word) -> ColumnElement[str]:
    """A word as FTS5 is asked for it; NULL if a short one begins no entry."""
    if word.length == ENTRY:
        return _text(word.name)
    entries = _entries(word, MANY_ENTRIES).subquery()
    quoted = '"' + func.replace(entries.c.term, '"', '""') + '"'
    joined = select("(" + func.group_concat(quoted, " OR ") + ")")
    return joined.select_from(entries).scalar_subquery()


def _entries(word: Word, limit: int) -> Select[Any]:
    """Entries of the index that begin with a short word."""
    first, last = _text(word.name), _text(f"{word.name}_last")
    return select(_terms.c.term).where(_terms.c.term >= first, _terms.c.term < last).limit(limit)


def _text(name: str) -> BindParameter[str]:
    return bindparam(name, type_=Text)


def _escaped(word: str) -> str:
    """`word` with what has a meaning in a pattern escaped."""
    for character in (_ESCAPE, "%", "_"):
        word = word.replace(character, _ESCAPE + character)
    return word


def _grams(word: str) -> list[str]:
    """The longest entries of PostgreSQL's index that a text with `word` has."""
    size = min(len(word), ENTRY)
    return sorted({word[start : start + size] for start in range(len(word) - size + 1)})
