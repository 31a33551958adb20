"""Policies as they are kept, and every way to a key under them."""

import json
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.access.issuing import extend_under_policy, issue_under_policy
from app.access.policies import policy_in_force, policy_of, save_policy, version_of
from app.access.policy_rules import RULES, UNSET, Level, Policy
from app.config import Config
from app.core.clock import rfc3339
from app.core.errors import Conflict, InvalidInput, NotAllowed, NotFound
from app.extensions import db
from app.licenses.option_rules import KeyOptions
from app.models import AuditEvent, StoredPolicy, TemporaryLicense
from app.projects.fields import ProjectFields
from app.projects.services import create_project, delete_project
from tests.agents.stage import issue
from tests.conftest import NOW, Cast, Clock

HOUR, DAY = 3600, 86_400
pytestmark = pytest.mark.databases("sqlite", "postgres")


@pytest.fixture
def config(app: Flask) -> Config:
    config: Config = app.extensions["config"]
    return config


def save(
    session: Session,
    cast: Cast,
    config: Config,
    policy: Policy,
    organisation_id: str | None = None,
    *,
    by: str = Cast.ada,
    version: str | None = None,
) -> bool:
    return save_policy(
        session,
        actor=cast.actor(by),
        config=config,
        policy=policy,
        now=NOW,
        organisation_id=organisation_id,
        version=version,
    )


def generate(
    session: Session, cast: Cast, config: Config, options: KeyOptions, *, cut_ttl: bool = False
) -> TemporaryLicense:
    record, _ = issue_under_policy(
        session,
        actor=cast.actor(cast.ada),
        config=config,
        organisation_id=cast.acme,
        options=options,
        cut_ttl=cut_ttl,
        now=NOW,
    )
    license = session.get(TemporaryLicense, record.id)
    assert license is not None
    return license


def extend(
    session: Session,
    cast: Cast,
    config: Config,
    key_id: str,
    *,
    ends_at: datetime,
    reason: str = "",
) -> TemporaryLicense:
    return extend_under_policy(
        session,
        actor=cast.actor(cast.ada),
        config=config,
        key_id=key_id,
        ends_at=ends_at,
        reason=reason,
        clock=lambda: NOW,
    )


def test_a_policy_is_kept_and_holds(session: Session, cast: Cast, config: Config) -> None:
    assert save(session, cast, config, Policy(ceiling=4 * HOUR))
    assert save(session, cast, config, Policy(ceiling=DAY, reason_required=True), cast.acme)
    session.commit()
    assert policy_of(session) == Policy(ceiling=4 * HOUR)
    assert policy_of(session, cast.bolt) == UNSET
    acme = policy_in_force(session, config, cast.acme)
    assert acme.ceiling == (4 * HOUR, Level.INSTALLATION)
    assert acme.reason_required == (True, Level.ORGANISATION)
    assert policy_in_force(session, config, cast.bolt).reason_required.value is False
    assert policy_in_force(session, config).reason_required.value is False


def test_every_change_is_in_the_audit_log_with_before_and_after(
    session: Session, cast: Cast, config: Config
) -> None:
    save(session, cast, config, Policy(ceiling=4 * HOUR, reason_length=5))
    save(session, cast, config, Policy(ceiling=DAY, reason_length=5))
    assert not save(session, cast, config, Policy(ceiling=DAY, reason_length=5))
    save(session, cast, config, Policy(reason_required=True), cast.acme)
    events = session.scalars(
        select(AuditEvent).where(AuditEvent.tag == "policy.changed").order_by(AuditEvent.id)
    ).all()
    assert [(e.organisation_id, e.data["before"], e.data["after"]) for e in events] == [
        (None, "ceiling=, reason_length=", "ceiling=4h, reason_length=5"),
        (None, "ceiling=4h", "ceiling=1d"),
        (cast.acme, "reason_required=", "reason_required=on"),
    ]


@pytest.mark.parametrize("who", [Cast.audrey, Cast.pat, Cast.dev, Cast.carl])
def test_only_a_super_admin_changes_one(
    session: Session, cast: Cast, config: Config, who: str
) -> None:
    with pytest.raises(NotAllowed):
        save(session, cast, config, Policy(ceiling=HOUR), by=who)
    assert policy_of(session) == UNSET


def test_an_unknown_organisation_has_none(session: Session, cast: Cast, config: Config) -> None:
    with pytest.raises(NotFound):
        save(session, cast, config, Policy(ceiling=HOUR), "ORG-NONE")


def test_what_somebody_else_saved_meanwhile_is_not_overwritten(
    session: Session, cast: Cast, config: Config
) -> None:
    seen = version_of(policy_of(session))
    save(session, cast, config, Policy(ceiling=HOUR), version=seen)
    with pytest.raises(Conflict, match="Somebody else has changed this policy"):
        save(session, cast, config, Policy(ceiling=DAY), version=seen)
    assert policy_of(session) == Policy(ceiling=HOUR)


def test_a_key_from_before_keeps_what_it_was_given(
    session: Session, cast: Cast, config: Config
) -> None:
    license = issue(session, cast, cast.acme, NOW, DAY)
    save(session, cast, config, Policy(ceiling=HOUR, use_within=900, reason_required=True))
    session.commit()
    session.refresh(license)
    assert (license.ttl_seconds, license.use_by) == (DAY, None)


def test_a_key_is_cut_to_the_tightest_ceiling(session: Session, cast: Cast, config: Config) -> None:
    save(session, cast, config, Policy(ceiling=4 * HOUR))
    save(session, cast, config, Policy(ceiling=2 * HOUR, use_within=HOUR), cast.acme)
    license = generate(session, cast, config, KeyOptions(7 * DAY), cut_ttl=True)
    assert license.ttl_seconds == 2 * HOUR
    assert license.use_by == NOW + timedelta(hours=1)


def test_extending_obeys_the_policy_that_holds_now(
    session: Session, cast: Cast, config: Config
) -> None:
    license = generate(session, cast, config, KeyOptions(HOUR))
    save(session, cast, config, Policy(ceiling=4 * HOUR), cast.acme)
    save(session, cast, config, Policy(reason_required=True))
    late, later = NOW + timedelta(hours=4), NOW + timedelta(hours=4, seconds=1)
    with pytest.raises(InvalidInput) as refused:
        extend(session, cast, config, license.key_id, ends_at=later, reason="More")
    assert refused.value.field == "ends_at"
    assert "the ceiling of this organisation's policy" in refused.value.detail
    with pytest.raises(InvalidInput) as refused:
        extend(session, cast, config, license.key_id, ends_at=late)
    assert refused.value.field == "reason"
    longer = extend(session, cast, config, license.key_id, ends_at=late, reason="More")
    assert longer.expires_at == late


def test_a_looser_ceiling_than_the_settings_lets_nothing_through(
    session: Session, cast: Cast, config: Config
) -> None:
    """Mallory, a super admin, sets a ceiling of a year: the settings still hold."""
    save(session, cast, config, Policy(ceiling=365 * DAY), cast.acme)
    with pytest.raises(InvalidInput, match="PORTAL_LICENSE_TTL_MAX"):
        generate(session, cast, config, KeyOptions(0, ends_at=NOW + timedelta(days=8)))
    with pytest.raises(InvalidInput):
        generate(session, cast, config, KeyOptions(8 * DAY), cut_ttl=True)
    short = replace(config, license_ttl_max=HOUR, license_ttls=(HOUR,))
    with pytest.raises(InvalidInput):
        generate(session, cast, short, KeyOptions(2 * HOUR))


def test_deleting_an_organisation_takes_its_policy_along(
    session: Session, cast: Cast, config: Config
) -> None:
    fields = ProjectFields("ORG-NEW", "New", "New project")
    project = create_project(session, actor=cast.actor(cast.ada), fields=fields, now=NOW).project
    save(session, cast, config, Policy(ceiling=HOUR), "ORG-NEW")
    save(session, cast, config, Policy(ceiling=DAY))
    session.commit()
    delete_project(session, actor=cast.actor(cast.ada), project_id=project.id, now=NOW)
    session.commit()
    assert session.scalars(select(StoredPolicy.organisation_id)).all() == [None]


def test_rules_of_a_later_version_are_left_alone(session: Session, cast: Cast) -> None:
    session.add(StoredPolicy(id=0, rules={"ceiling": 60, "of_the_future": 1}, changed_at=NOW))
    session.commit()
    assert policy_of(session) == Policy(ceiling=60)


# By command


def run(app: Flask, *arguments: str) -> Result:
    with app.app_context():
        return app.test_cli_runner().invoke(args=list(arguments))


@pytest.fixture
def _stage(cast: Cast, clock: Clock) -> None:
    """The cast, and the clock standing at NOW."""


@pytest.mark.usefixtures("_stage")
@pytest.mark.databases("sqlite")
class TestCommands:
    def test_set_and_show(self, app: Flask) -> None:
        rules = ["ceiling=4h", "reason_required=on", "ticket_pattern=[A-Z]+-[0-9]+"]
        answer = run(app, "policy", "set", "--as", Cast.ada, *rules)
        assert (answer.exit_code, answer.stdout) == (0, "The policy was changed.\n")
        of_acme = ["--organisation", Cast.acme]
        run(app, "policy", "set", *of_acme, "--as", Cast.ada, "ceiling=1d", "reason_length=5")
        shown = json.loads(run(app, "policy", "show", *of_acme, "--json").stdout)
        assert list(shown) == list(RULES)
        assert shown["ceiling"] == {
            "value": "1d",
            "in_force": "4h",
            "set_by": "the policy",
            "without_effect": True,
        }
        assert shown["reason_length"]["value"] == "5"
        assert shown["reason_required"]["in_force"] == "on"
        table = run(app, "policy", "show", *of_acme).stdout
        assert "1d (no effect)" in table

    def test_a_blank_value_leaves_a_rule_to_those_above(self, app: Flask) -> None:
        run(app, "policy", "set", "--as", Cast.ada, "ceiling=4h", "reason_required=on")
        run(app, "policy", "set", "--as", Cast.ada, "ceiling=")
        with app.app_context():
            assert policy_of(db.session()) == Policy(reason_required=True)

    @pytest.mark.parametrize(
        ("rule", "status"),
        [("ceiling", 2), ("colour=red", 2), ("ceiling=4", 2), ("default_ttl=2h", 1)],
    )
    def test_what_is_wrong_is_said(self, app: Flask, rule: str, status: int) -> None:
        answer = run(app, "policy", "set", "--as", Cast.ada, rule)
        assert answer.exit_code == status
        assert rule.split("=", maxsplit=1)[0] in answer.stderr
        with app.app_context():
            assert policy_of(db.session()) == UNSET

    def test_an_auditor_sets_none(self, app: Flask) -> None:
        assert run(app, "policy", "set", "--as", Cast.audrey, "ceiling=1h").exit_code == 1

    def test_issue_and_extend_obey_it(self, app: Flask) -> None:
        run(app, "policy", "set", "--as", Cast.ada, "ceiling=4h", "reason_required=on")
        issue = ["licenses", "issue", "--organisation", Cast.acme, "--as", Cast.ada]
        for wrong, sentence in (
            (["--ttl", "1h"], "Say why"),
            (["--ttl", "1d", "--reason", "x"], "at most 4 hrs: the policy's ceiling"),
            (
                ["--ends", rfc3339(NOW + timedelta(hours=5)), "--reason", "x"],
                "at most 4 hrs: the policy's ceiling",
            ),
        ):
            answer = run(app, *issue, *wrong)
            assert answer.exit_code == 1
            assert sentence in answer.stderr
        with app.app_context():
            assert db.session.scalar(select(func.count(TemporaryLicense.id))) == 0
        row = json.loads(run(app, *issue, "--ttl", "1h", "--reason", "x", "--json").stdout)
        extend = ["licenses", "extend", row["key_id"], "--as", Cast.ada]
        late = run(app, *extend, "--ends", rfc3339(NOW + timedelta(hours=5)), "--reason", "x")
        assert late.exit_code == 1
        assert "the policy's ceiling" in late.stderr
        assert run(app, *extend, "--ends", rfc3339(NOW + timedelta(hours=4))).exit_code == 1
