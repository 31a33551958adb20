"""When notices are sent, where webhooks may be, how they are signed, and how mails read."""

import json
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.audit.notice_kinds import NoticeKind
from app.config import load_config
from app.core.errors import ConfigError, InvalidInput
from app.core.mail_server import MailServer, parse_mail_server
from app.notices.address_rules import check_host, check_open, is_open, read_address
from app.notices.delivery_rules import (
    Look,
    Outcome,
    ends_soon_at,
    http_outcome,
    look_at_key,
    next_try,
    smtp_outcome,
)
from app.notices.facts import LEFT_OUT, without_keys
from app.notices.mail import compose_mail
from app.notices.mail_texts import subject_of, text_of
from app.notices.sealing import LINK, WEBHOOK, seal, unseal
from app.notices.signing import new_secret, signature

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
NOW = datetime(2026, 11, 24, 15, 40, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


SIGNATURES = json.loads((VECTORS / "standard-webhooks.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", SIGNATURES["vectors"], ids=lambda vector: vector["name"])
def test_signatures_are_those_of_the_specification(vector: dict[str, Any]) -> None:
    made = signature(vector["secret"], vector["id"], vector["timestamp"], vector["body"].encode())
    assert (made == vector["signature"]) is vector["good"]


def test_a_secret_has_the_specified_form_and_at_least_24_bytes() -> None:
    assert new_secret().startswith("whsec_")
    assert len(new_secret()) == len("whsec_") + 44
    assert new_secret() != new_secret()


def test_what_is_sealed_opens_only_as_what_it_is() -> None:
    sealed = seal("secret " * 6, LINK, "token")
    assert unseal("secret " * 6, LINK, sealed) == "token"
    assert unseal("secret " * 6, WEBHOOK, sealed) is None
    assert unseal("another " * 6, LINK, sealed) is None
    assert unseal("secret " * 6, LINK, b"short") is None


def test_the_pauses() -> None:
    failed = Outcome(False, "HTTP 500")
    pauses = [next_try(failed, tries, NOW) for tries in range(1, 8)]
    assert [pause and (pause - NOW).total_seconds() for pause in pauses] == [
        *(5, 60, 600, 3600, 14_400, 36_000),
        None,
    ]


@pytest.mark.parametrize(
    ("outcome", "is_over"),
    [
        (http_outcome(200), True),
        (http_outcome(299), True),
        (http_outcome(199), False),
        (http_outcome(302), False),
        (http_outcome(404), False),
        (http_outcome(410), True),
        (http_outcome(500), False),
        (smtp_outcome(421), False),
        (smtp_outcome(499), False),
        (smtp_outcome(500), True),
        (smtp_outcome(554), True),
    ],
)
def test_what_is_tried_again(outcome: Outcome, is_over: bool) -> None:
    assert (next_try(outcome, 1, NOW) is None) is is_over


@pytest.mark.parametrize(
    ("ttl", "before"),
    [(9, None), (10, None), (11, 10), (50, 10), (51, 10.2), (60, 12), (600, 120), (10_080, 2016)],
)
def test_when_a_key_ends_soon(ttl: float, before: float | None) -> None:
    """In minutes: at 20% of the TTL and ten minutes before the end at least."""
    end = NOW + ttl * MINUTE
    assert ends_soon_at(NOW, end) == (before and end - before * MINUTE)


@given(st.integers(11, 20_000), st.data())
def test_each_is_told_once_whenever_it_is_looked_at(minutes: int, data: st.DataObject) -> None:
    end = NOW + minutes * MINUTE
    told_end, told, at, late = None, [], NOW, 0
    while True:
        look = look_at_key(starts_at=NOW, expires_at=end, ends_at=end, told_end=told_end, now=at)
        told += [name for name in ("ends_soon", "expired") if getattr(look, name)]
        told_end = end if look.ends_soon else told_end
        if look.again_at is None:
            break
        assert look.again_at > at
        late = late or data.draw(st.integers(0, 60))
        at = look.again_at + late * MINUTE
    assert told in (["ends_soon", "expired"], ["expired"])
    if not late:
        assert told == ["ends_soon", "expired"]


def test_a_key_that_is_not_used_in_time_expires_then() -> None:
    looked = {"starts_at": NOW, "expires_at": NOW + 60 * MINUTE, "told_end": None}
    at_15 = NOW + 15 * MINUTE
    assert look_at_key(**looked, ends_at=at_15, now=NOW) == Look(again_at=at_15)
    assert look_at_key(**looked, ends_at=at_15, now=at_15) == Look(expired=True)


ADDRESSES = json.loads((VECTORS / "webhook-addresses.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("address", ADDRESSES["private"] + ADDRESSES["malformed"])
def test_addresses_that_are_refused(address: str) -> None:
    """Whoever may add a webhook must not reach, through the portal, what only the portal can."""
    with pytest.raises(InvalidInput) as refused:
        check_host(read_address(address).host)
    assert refused.value.field == "address"


@pytest.mark.parametrize("address", ADDRESSES["open"])
def test_addresses_that_are_taken(address: str) -> None:
    check_host(read_address(address).host)


def test_an_address_is_taken_apart() -> None:
    receiver = read_address("https://Hooks.Example:8443/a%20b?c=d?e")
    assert receiver == ("https", "hooks.example", 8443, "/a%20b?c=d?e")
    assert read_address("http://[2606:4700::1111]")[1:] == ("2606:4700::1111", 80, "/")


def test_a_name_is_refused_if_any_of_its_addresses_is_private() -> None:
    """A name of the attacker's that has a public address and 127.0.0.1, of which one is taken."""
    found = [ip_address("8.8.8.8"), ip_address("127.0.0.1")]
    check_open("hooks.example", found[:1])
    with pytest.raises(InvalidInput):
        check_open("hooks.example", found)


def test_a_key_that_a_mail_has_wrapped_is_left_out() -> None:
    """Of a reason that was written before such were refused."""
    wrapped = f"use rw1.eyJ{'x' * 60} {'x' * 60}.awoJVw.{'y' * 40} {'y' * 46} please"
    said = without_keys({"reason": wrapped, "ticket": "OPS-1", "ttl": 60})
    assert said == {"reason": LEFT_OUT, "ticket": "OPS-1", "ttl": 60}


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_within_an_ipv6_one_counts_as_itself(address: object) -> None:
    for prefix in ("::ffff:", "64:ff9b::"):
        assert is_open(ip_address(f"{prefix}{address}")) is is_open(ip_address(str(address)))


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("smtp://mail.example", ("smtp", "mail.example", 25, "", "")),
        ("smtps://mail.example/", ("smtps", "mail.example", 465, "", "")),
        (
            "smtp+starttls://a%40b:p%3A%2F%25@m.example:2525",
            ("smtp+starttls", "m.example", 2525, "a@b", "p:/%"),
        ),
        ("smtp://[::1]:25", ("smtp", "::1", 25, "", "")),
    ],
)
def test_mail_servers(text: str, server: tuple[object, ...]) -> None:
    assert parse_mail_server(text) == server


@pytest.mark.parametrize(
    "text",
    [
        *("mail.example:25", "http://mail.example", "smtp://", "smtp://m.example:0", "smtp://m:x"),
        *("smtp://hidden@m.example", "smtp://u:hidden@m.example/path", "smtp://u:hid@den@"),
        *("smtp://u:hidden%0d%0aX@m.example", "smtp://m.example?u=hidden", "smtp://a b"),
    ],
)
def test_no_mail_servers_and_their_passwords_are_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config({"PORTAL_SMTP_URL": text})
    assert "hid" not in refused.value.detail


def test_a_password_is_in_no_listing_of_the_server() -> None:
    server = MailServer("smtp", "mail.example", 25, "user", "hidden")
    assert "hidden" not in f"{server} {server!r}"


KEY = {
    "key_id": "ABCD-2345",
    "organisation": "Acme",
    "organisation_id": "ORG-1",
    "issued_by": "ada@example.com",
    "expires_at": "2026-11-24T15:40:00Z",
    "unused": False,
    "reason": None,
}


def test_a_mail_is_short_and_clear() -> None:
    assert text_of(NoticeKind.KEY_ENDS_SOON, KEY, root="https://p.example") == (
        "A temporary key ends soon. It can be extended until then.\n\n"
        "Key ID: ABCD-2345\nOrganisation: Acme\nOrganisation ID: ORG-1\n"
        "Issued by: ada@example.com\nEnds: Tue 24 Nov 2026, 15:40 UTC\n\n"
        "https://p.example/projects?q=ABCD-2345\n\n"
        "Sent by Rolling Window, https://p.example. Times are in UTC.\n"
    )


NASTY = "Acme\r\nBcc: mallory@example.com\r\n\r\n\u202egro.elpmaxe{key_id}%s"


def mail(subject: str = "Hello", text: str = "Text", to: str = "ada@example.com") -> object:
    return compose_mail(
        sender="portal@example.com", to=to, subject=subject, text=text, message_id="msg_x", now=NOW
    )


def test_a_name_adds_no_header_and_turns_nothing_round() -> None:
    data = KEY | {"key_id": NASTY, "organisation": NASTY, "issued_by": NASTY}
    subject = subject_of(NoticeKind.KEY_GENERATED, data)
    text = text_of(NoticeKind.KEY_GENERATED, data, root="")
    sent = mail(subject, text)
    assert sent.keys() == [
        *("To", "From", "Subject", "Date", "Message-ID", "Auto-Submitted"),
        *("Content-Type", "Content-Transfer-Encoding", "MIME-Version"),
    ]
    assert "\u202e" not in subject + text
    assert "Organisation: Acme Bcc: mallory@example.com gro.elpmaxe{key_id}%s\n" in text


def test_names_in_any_script_arrive() -> None:
    data = KEY | {"organisation": "شركة أكمي", "key_id": "Bölt & Söhne 株式会社"}
    subject = subject_of(NoticeKind.KEY_EXPIRED, data)
    text = text_of(NoticeKind.KEY_EXPIRED, data, root="")
    sent = mail(subject, text)
    assert sent["Subject"] == "Key Bölt & Söhne 株式会社 has expired"
    assert sent.get_content() == text
    assert "Organisation: \u2068شركة أكمي\u2069\n" in text
    assert sent.as_bytes().isascii()


@pytest.mark.parametrize(
    "to", ["a@b@c", "a,b@c.example", "<a@b.example>", "a@b.example\r\nBcc: c@d"]
)
def test_an_address_that_no_mail_can_have(to: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        mail(to=to)


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_every_kind_has_its_wording(kind: NoticeKind) -> None:
    names = "request_id asked_by approved_by refused_by extended_by revoked_by invited_by kid "
    data = KEY | dict.fromkeys((names + "rotated_by email").split(), "x")
    assert subject_of(kind, data)
    assert "{" not in text_of(kind, data, root="https://p.example", link="https://p.example/l")
