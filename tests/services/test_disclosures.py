"""That somebody saw or copied a key is logged, once a minute at most however many ask at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit.tags import AuditTag
from app.core.errors import NotAllowed
from app.extensions import db
from app.licenses.disclosures import log_disclosure
from app.licenses.queries import find_license
from app.models import AuditEvent
from tests.agents.stage import issue
from tests.conftest import NOW, Cast

pytestmark = pytest.mark.databases("sqlite", "postgres")

TAGS = (AuditTag.LICENSE_VIEWED, AuditTag.LICENSE_COPIED)


@pytest.mark.parametrize("tag", TAGS)
def test_of_many_at_once_one_is_logged(app: Flask, cast: Cast, tag: AuditTag) -> None:
    with app.app_context():
        key_id = issue(db.session(), cast).key_id

    def disclose(_: int) -> None:
        with app.app_context():
            session = db.session()
            license = find_license(session, key_id)
            assert license
            session.rollback()
            actor = cast.actor(cast.grace)
            log_disclosure(session, tag, actor=actor, license=license, clock=lambda: NOW)
            session.commit()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(disclose, range(24)))
    with app.app_context():
        logged = db.session().scalars(select(AuditEvent).where(AuditEvent.tag == tag.value))
        assert [event.subject for event in logged] == [key_id]


@pytest.mark.parametrize("tag", TAGS)
def test_who_may_see_no_key_is_not_logged_as_if_they_had(
    session: Session, cast: Cast, tag: AuditTag
) -> None:
    license = issue(session, cast)
    for who in (cast.audrey, cast.pat, cast.carl):
        with pytest.raises(NotAllowed):
            log_disclosure(session, tag, actor=cast.actor(who), license=license, clock=lambda: NOW)
