"""Passkeys as services, with an authenticator in software; on both databases."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.authentication import lock_user
from app.accounts.passkeys import (
    MOST_PASSKEYS,
    Challenges,
    Site,
    add_passkey,
    options_to_add,
    options_to_prove,
    passkeys_of,
    prove_by_passkey,
)
from app.accounts.second_factor import factors_of, remove_passkey
from app.core.errors import InvalidInput, NotFound
from app.models import AuditEvent, User
from tests.conftest import NOW, SECRET, Cast
from tests.services.soft_authenticator import AT, UP, SoftAuthenticator

pytestmark = pytest.mark.databases("sqlite", "postgres")

SITE = Site("portal.example", "https://portal.example")
CHALLENGES = Challenges(SECRET)


class Person:
    def __init__(self, session: Session, cast: Cast, email: str) -> None:
        self.session, self.actor = session, cast.actor(email)
        self.id = self.actor.user_id or 0

    @property
    def user(self) -> User:
        user = lock_user(self.session, self.id)
        assert user is not None
        return user

    def add(self, device: SoftAuthenticator, challenge: bytes | None = None) -> list[str]:
        codes = add_passkey(
            self.session,
            user=self.user,
            answer=device.make(challenge or CHALLENGES.new(f"add/{self.id}")),
            name="Firefox on Linux",
            site=SITE,
            challenges=CHALLENGES,
            actor=self.actor,
            now=NOW,
        )
        self.session.commit()
        return codes


def prove(session: Session, answer: str, purpose: str = "sign-in") -> int:
    user_id = prove_by_passkey(
        session, answer=answer, purpose=purpose, site=SITE, challenges=CHALLENGES, now=NOW
    )
    session.commit()
    return user_id


@pytest.fixture
def ada(session: Session, cast: Cast) -> Person:
    return Person(session, cast, cast.ada)


def test_a_passkey_says_whose_it_is(ada: Person, session: Session) -> None:
    device = SoftAuthenticator()
    assert len(ada.add(device)) == 10
    assert ada.add(SoftAuthenticator()) == []  # there are recovery codes already
    assert prove(session, device.sign(CHALLENGES.new("sign-in"))) == ada.id
    [_, used] = passkeys_of(session, ada.id)
    assert (used.last_used_at, used.sign_count) == (NOW, 1)
    assert factors_of(session, ada.id).passkeys == 2


def other_site(device: SoftAuthenticator) -> None:
    device.rp_id, device.origin = "evil.example", "https://evil.example"


def other_origin(device: SoftAuthenticator) -> None:
    device.origin = "https://portal.example.evil.example"


def user_not_verified(device: SoftAuthenticator) -> None:
    device.flags = UP


def nobody_there(device: SoftAuthenticator) -> None:
    device.flags = 0


def counter_back(device: SoftAuthenticator) -> None:
    device.sign_count = 1


def same_counter(device: SoftAuthenticator) -> None:
    device.sign_count -= 1


def another_key(device: SoftAuthenticator) -> None:
    device.key = SoftAuthenticator().key


def unknown(device: SoftAuthenticator) -> None:
    device.credential_id = b"x" * 32


@pytest.mark.parametrize(
    "harm",
    [
        *(other_site, other_origin, user_not_verified, nobody_there),
        *(counter_back, same_counter, another_key, unknown),
    ],
)
def test_what_an_attacker_sends_is_refused(
    ada: Person, session: Session, harm: Callable[[SoftAuthenticator], None]
) -> None:
    """A passkey of a site that looks the same, one that was copied, one lifted off a desk."""
    device = SoftAuthenticator()
    ada.add(device)
    for _ in range(3):
        prove(session, device.sign(CHALLENGES.new("sign-in")))
    harm(device)
    with pytest.raises(InvalidInput):
        prove(session, device.sign(CHALLENGES.new("sign-in")))
    session.rollback()
    assert session.scalars(select(User.id).where(User.id == ada.id)).one()


@pytest.mark.parametrize("harm", [other_site, other_origin, user_not_verified])
def test_such_a_passkey_is_not_added(
    ada: Person, session: Session, harm: Callable[[SoftAuthenticator], None]
) -> None:
    device = SoftAuthenticator()
    harm(device)
    with pytest.raises(InvalidInput, match="could not be added"):
        ada.add(device)
    session.rollback()
    assert passkeys_of(session, ada.id) == []


def test_an_answer_counts_once(ada: Person, session: Session) -> None:
    """Mallory has recorded what Ada's browser sent."""
    device = SoftAuthenticator()
    ada.add(device)
    answer = device.sign(CHALLENGES.new("sign-in"))
    assert prove(session, answer) == ada.id
    with pytest.raises(InvalidInput, match="not accepted"):
        prove(session, answer)


def test_an_answer_to_one_page_is_none_to_another(ada: Person, session: Session) -> None:
    device = SoftAuthenticator()
    ada.add(device)
    for asked, sent in (("sign-in", f"prove/{ada.id}"), (f"prove/{ada.id}", f"prove/{ada.id + 1}")):
        with pytest.raises(InvalidInput, match="not accepted"):
            prove(session, device.sign(CHALLENGES.new(asked)), sent)
        session.rollback()


def test_a_challenge_that_mallory_made_up(ada: Person, session: Session) -> None:
    device = SoftAuthenticator()
    ada.add(device)
    for challenge in (b"", b"x" * 32, CHALLENGES.new("sign-in")[:-1]):
        with pytest.raises(InvalidInput):
            prove(session, device.sign(challenge))
        session.rollback()


def test_a_passkey_is_one_persons(ada: Person, session: Session, cast: Cast) -> None:
    device, grace = SoftAuthenticator(), Person(session, cast, cast.grace)
    ada.add(device)
    with pytest.raises(InvalidInput, match="added before"):
        grace.add(device)
    session.rollback()
    [passkey] = passkeys_of(session, ada.id)
    with pytest.raises(NotFound):
        remove_passkey(session, user=grace.user, passkey_id=passkey.id, actor=grace.actor, now=NOW)
    assert len(passkeys_of(session, ada.id)) == 1
    remove_passkey(session, user=ada.user, passkey_id=passkey.id, actor=ada.actor, now=NOW)
    session.commit()
    assert passkeys_of(session, ada.id) == []
    with pytest.raises(InvalidInput, match="does not know"):
        prove(session, device.sign(CHALLENGES.new("sign-in")))


def test_nobody_has_more_than_they_can_look_through(ada: Person, session: Session) -> None:
    for _ in range(MOST_PASSKEYS):
        ada.add(SoftAuthenticator())
    with pytest.raises(InvalidInput, match="remove one first"):
        ada.add(SoftAuthenticator())


def test_a_registration_is_no_proof_and_the_other_way_round(ada: Person, session: Session) -> None:
    device = SoftAuthenticator()
    ada.add(device)
    with pytest.raises(InvalidInput):
        prove(session, device.make(CHALLENGES.new("sign-in")))
    session.rollback()
    with pytest.raises(InvalidInput):
        add_passkey(
            session,
            user=ada.user,
            answer=SoftAuthenticator().sign(CHALLENGES.new(f"add/{ada.id}")),
            name="x",
            site=SITE,
            challenges=CHALLENGES,
            actor=ada.actor,
            now=NOW + timedelta(seconds=1),
        )


def test_browsers_are_asked_to_verify_their_user(ada: Person, session: Session) -> None:
    device = SoftAuthenticator()
    ada.add(device)
    to_add = json.loads(options_to_add(session, user=ada.user, site=SITE, challenge=b"c"))
    assert to_add["authenticatorSelection"]["userVerification"] == "required"
    assert to_add["authenticatorSelection"]["residentKey"] == "required"
    assert len(to_add["excludeCredentials"]) == 1
    assert to_add["rp"] == {"name": "Rolling Window", "id": "portal.example"}
    anybody = json.loads(options_to_prove(session, user_id=None, site=SITE, challenge=b"c"))
    assert (anybody["userVerification"], anybody["allowCredentials"]) == ("required", [])
    own = json.loads(options_to_prove(session, user_id=ada.id, site=SITE, challenge=b"c"))
    assert len(own["allowCredentials"]) == 1


def test_each_is_in_the_audit_log(ada: Person, session: Session) -> None:
    ada.add(SoftAuthenticator(flags=UP | 0x04 | AT))
    [passkey] = passkeys_of(session, ada.id)
    remove_passkey(session, user=ada.user, passkey_id=passkey.id, actor=ada.actor, now=NOW)
    tags = session.scalars(select(AuditEvent.tag).order_by(AuditEvent.id)).all()
    assert tags[-2:] == ["user.passkey_added", "user.passkey_removed"]
