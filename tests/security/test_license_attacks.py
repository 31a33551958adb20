"""Attacks on license keys and on the tab that shows them."""

import random
import re
from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from flask import Flask
from itsdangerous import base64_decode, base64_encode
from sqlalchemy.orm import Session

from app.extensions import db
from app.keyformat.license_keys import sign_temporary_key
from app.keyformat.pasted_keys import clean_key
from app.keyformat.signing_keys import new_private_key
from app.licenses.key_records import KeyList
from app.licenses.queries import count_licenses
from app.licenses.rules import Inspection, LicenseState
from app.licenses.services import inspect_key, key_text
from app.models import Organisation, Project
from app.models.engine import writing
from app.portal import licenses
from app.portal.gate import begin_checked_write
from app.portal.licenses import Listing
from tests.agents.stage import issue
from tests.conftest import NOW, Cast, Visitor, signing_keys
from tests.security.meanwhile import SHUT_OUT, demote

HOUR = 3600
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.fixture
def keys(app: Flask, session: Session, cast: Cast) -> list[str]:
    """Real keys with real records: active ones of two organisations, and an expired one."""
    licenses = [
        issue(session, cast),
        issue(session, cast, ttl=7 * 86400),
        issue(session, cast, Cast.bolt),
        issue(session, cast, now=NOW - timedelta(hours=2)),
    ]
    return [key_text(license, signing_keys(app)) for license in licenses]


def active(session: Session, text: str) -> Inspection | None:
    found = inspect_key(session, text=text, now=NOW)
    return found if found.state is LicenseState.ACTIVE else None


class Mutations:
    """What somebody with a key, time and no private key can make of it."""

    def __init__(self, keys: list[str], seed: int) -> None:
        self.keys = keys
        self.random = random.Random(seed)

    def one(self) -> str:
        key = self.random.choice(self.keys)
        ways = (
            self.change_character,
            self.drop_character,
            self.add_character,
            self.swap_two,
            self.cut,
            self.flip_bit,
            self.change_claim,
            self.mix_parts,
            self.move_time,
            self.pad,
        )
        return self.random.choice(ways)(key)

    def place(self, key: str) -> int:
        return self.random.randrange(len(key))

    def change_character(self, key: str) -> str:
        at = self.place(key)
        return key[:at] + self.random.choice(ALPHABET) + key[at + 1 :]

    def drop_character(self, key: str) -> str:
        at = self.place(key)
        return key[:at] + key[at + 1 :]

    def add_character(self, key: str) -> str:
        at = self.place(key)
        return key[:at] + self.random.choice(ALPHABET + ".=+/!") + key[at:]

    def swap_two(self, key: str) -> str:
        at = self.random.randrange(len(key) - 1)
        return key[:at] + key[at + 1] + key[at] + key[at + 2 :]

    def cut(self, key: str) -> str:
        return key[: self.place(key)]

    def flip_bit(self, key: str) -> str:
        parts = key.split(".")
        which = self.random.choice((1, 2, 3))
        raw = bytearray(base64_decode(parts[which]))
        raw[self.random.randrange(len(raw))] ^= 1 << self.random.randrange(8)
        parts[which] = base64_encode(bytes(raw)).decode()
        return ".".join(parts)

    def change_claim(self, key: str) -> str:
        parts = key.split(".")
        payload = base64_decode(parts[1]).decode()
        old, new = self.random.choice(
            (
                ('"ttl":3600', '"ttl":604800'),
                (Cast.acme, Cast.bolt),
                (Cast.bolt, Cast.acme),
                ('"kid"', '"kid":"x","kid"'),
                ("}", ',"ttl":604800}'),
                ('"ttl":', '"ttl": '),
                ('"org"', '"ORG"'),
            )
        )
        parts[1] = base64_encode(payload.replace(old, new)).decode()
        return ".".join(parts)

    def mix_parts(self, key: str) -> str:
        parts = key.split(".")
        which = self.random.choice((1, 2, 3))
        parts[which] = self.random.choice(self.keys).split(".")[which]
        return ".".join(parts)

    def move_time(self, key: str) -> str:
        parts = key.split(".")
        seconds = int.from_bytes(base64_decode(parts[2]), "big") + self.random.randint(-9999, 9999)
        parts[2] = base64_encode(seconds.to_bytes(4, "big")).decode()
        return ".".join(parts)

    def pad(self, key: str) -> str:
        return self.random.choice((key + "=", key + "==", key + ".", "." + key, key + "!!!!"))


def test_ten_thousand_mutated_keys_are_refused_and_none_is_an_error(
    session: Session, keys: list[str]
) -> None:
    """A partner changes a key until it works for longer, or for another client."""
    mutations = Mutations(keys, seed=20261124)
    tried = 0
    while tried < 10_000:
        text = mutations.one()
        if clean_key(text) in keys:  # no change at all, or a full stop behind the key
            continue
        tried += 1
        found = inspect_key(session, text=text, now=NOW)
        assert found == Inspection(LicenseState.INVALID), text


def test_the_mutations_start_from_keys_that_work(session: Session, keys: list[str]) -> None:
    """Else the test above would prove nothing."""
    assert [active(session, key) is not None for key in keys] == [True, True, True, False]


def test_a_key_signed_with_a_key_of_ones_own_is_refused(session: Session, cast: Cast) -> None:
    """Somebody reads docs/key-format.md and signs with a fresh Ed25519 key."""
    license = issue(session, cast)
    forged = sign_temporary_key(
        new_private_key(),
        jti=license.key_id,
        organisation_id=cast.acme,
        ttl=HOUR,
        issued_at=license.issued_at,
    )
    assert active(session, forged) is None


def test_one_that_names_our_signing_key_but_is_signed_with_another_is_refused(
    session: Session, cast: Cast, keys: list[str]
) -> None:
    """The payload is ours, word for word; only the signature is the attacker's."""
    signature = sign_temporary_key(
        new_private_key(), jti="W222-2222", organisation_id=cast.acme, ttl=HOUR, issued_at=NOW
    ).split(".")[3]
    for key in keys:
        assert active(session, f"{key.rpartition('.')[0]}.{signature}") is None


def test_a_well_signed_key_whose_record_was_deleted_is_refused(
    app: Flask, session: Session, cast: Cast
) -> None:
    """A key of another installation that has the same signing key, or of a copy put back."""
    license = issue(session, cast)
    text = key_text(license, signing_keys(app))
    session.delete(license)
    session.commit()
    assert active(session, text) is None


HOSTILE = "\"><img src=x onerror=alert(1)>'{{7*7}}</textarea></option><script>alert(2)</script>"


class Tags(HTMLParser):
    """Which elements and event handlers a browser would find."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.handlers: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


@pytest.fixture
def hostile_tab(session: Session, cast: Cast) -> str:
    """The License tab of an organisation whose names and ID are an attack."""
    organisation_id = '"><script>alert(3)</script>'
    session.add(Organisation(id=organisation_id, name=HOSTILE, search_text="", created_at=NOW))
    session.flush()
    project = Project(
        organisation_id=organisation_id,
        name=HOSTILE,
        search_text="",
        created_at=NOW,
        updated_at=NOW,
    )
    session.add(project)
    session.commit()
    return f"/projects/{project.id}/license"


@pytest.mark.parametrize("htmx", [False, True])
def test_names_with_markup_are_text_everywhere(ada: Visitor, hostile_tab: str, htmx: bool) -> None:
    """Whoever may name an organisation tries to run a script when a key is shown for it."""
    page = ada.get(hostile_tab)
    answers = [page, ada.post(hostile_tab, {"ttl": "3h"}, htmx=True)]
    key_id = re.search(r'class="[^"]*key-id">([^<]+)<', answers[1].text)[1]
    answers += [
        ada.get(f"{hostile_tab}?key={key_id}", htmx=htmx),
        ada.get(f"{hostile_tab}/all"),
        ada.get(f"{hostile_tab}/{key_id}/revoke", htmx=htmx),
        ada.post(f"{hostile_tab}/{key_id}/revoke", htmx=True),
        ada.get(hostile_tab, htmx=htmx),
    ]
    for answer in answers:
        assert answer.status_code == 200
        tags = Tags(answer.text)
        assert "img" not in tags.names
        assert tags.handlers == []
        assert "<script>alert" not in answer.text


@pytest.mark.parametrize("where", ["key", "ttl", "page", "seen"])
@pytest.mark.parametrize("attack", [HOSTILE, "' OR 1=1 --", "\x00\x01", "\u202e" * 99, "9" * 6000])
def test_the_address_of_the_tab_is_text_too(
    ada: Visitor, cast: Cast, where: str, attack: str
) -> None:
    """A link in an e-mail leads an admin to the tab with an attack in its query."""
    tab = f"/projects/{cast.acme_project}/license"
    for path in (tab, f"{tab}/all"):
        answer = ada.get(path, query_string={where: attack})
        assert answer.status_code in (200, 404)
        tags = Tags(answer.text)
        assert "img" not in tags.names
        assert tags.handlers == []


@pytest.mark.parametrize(
    ("who", "statuses"),
    [(Cast.pat, (303, 403, 403)), (Cast.dev, (303, 403, 403)), (Cast.carl, (401, 303, 401))],
)
def test_whoever_works_on_agents_never_reaches_the_tab(
    app: Flask, visitor: Visitor, cast: Cast, who: str, statuses: tuple[int, int, int]
) -> None:
    """A partner with a right password wants to make a key without asking."""
    tab = f"/projects/{cast.acme_project}/license"
    answers = visitor.sign_in(who), visitor.get(tab), visitor.post(tab, {"ttl": "3h"})
    assert tuple(answer.status_code for answer in answers) == statuses
    with app.app_context():
        assert count_licenses(db.session(), cast.acme) == 0


@pytest.mark.parametrize("change", SHUT_OUT)
def test_who_loses_the_right_while_they_wait_for_the_lock_generates_nothing(
    app: Flask,
    ada: Visitor,
    cast: Cast,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Session], None],
) -> None:
    """Mallory, about to be shut out, asks for a key while somebody else holds the database."""

    def wait() -> None:
        with writing(), Session(db.engine) as other, other.begin():
            change(other)
        begin_checked_write()

    monkeypatch.setattr(licenses, "begin_checked_write", wait)
    answer = ada.post(f"/projects/{cast.acme_project}/license", {"ttl": "3h"})
    assert answer.status_code == (403 if change is demote else 401)
    with app.app_context():
        assert count_licenses(db.session(), cast.acme) == 0


def test_a_key_is_in_no_repr_that_a_log_could_hold(
    app: Flask, session: Session, cast: Cast
) -> None:
    """An exception report prints the local variables of a view."""
    license = issue(session, cast)
    text = key_text(license, signing_keys(app))
    listing = Listing(NOW, KeyList([license], [], []), license, LicenseState.ACTIVE, text, None, [])
    assert text not in repr(listing)
    assert text not in repr(inspect_key(session, text=text, now=NOW))
