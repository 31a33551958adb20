"""Closed lists of stored values, each with its text on pages."""

from enum import StrEnum
from typing import Self


class Labelled(StrEnum):
    """A member is its value, which never changes, and has its text on pages as `label`."""

    label: str

    def __new__(cls, value: str, label: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.label = label
        return member
