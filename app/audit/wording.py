"""What an event says, in words."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.audit.tags import AuditTag
from app.core.durations import format_ttl

TAGS: dict[str, str] = {tag.value: tag.label for tag in AuditTag}
LABELS = {
    "code": "reason",
    "expires_at": "ends",
    "mac_id": "MAC ID",
    "ttl": "TTL",
}
INTERNAL = ("project_id",)
REASONS = {
    "wrong": "wrong e-mail or password",
    "throttled": "too many wrong passwords",
    "role": "works on the OP Agent, not on the portal",
}


def what_happened(tag: str) -> str:
    """The words for a tag; one that this version does not know is told as it is."""
    return TAGS.get(tag, tag)


def details(data: Mapping[str, Any]) -> list[tuple[str, str | datetime]]:
    """(what, value) of each thing that `data` says and that people know; an instant stays one."""
    return [
        (LABELS.get(name, name.replace("_", " ")), _value(name, value))
        for name, value in data.items()
        if value not in (None, "") and name not in INTERNAL
    ]


def _value(name: str, value: Any) -> str | datetime:
    if name == "ttl" and isinstance(value, int) and value > 0:
        return format_ttl(value)
    if name.endswith("_at"):
        return _instant(value)
    if name in ("code", "cause", "reason", "role"):
        return REASONS.get(str(value), str(value).replace("_", " "))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {part}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def _instant(value: Any) -> str | datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    return moment if moment.tzinfo else str(value)
