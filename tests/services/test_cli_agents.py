"""`flask agents ...`, and `flask licenses ...` for permanent licenses, by status and output."""

import json
from datetime import timedelta

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import select

from app.extensions import db
from app.models import Agent, AuditEvent, PermanentLicense
from tests.agents.api_stage import OTHER_MAC, RealAgent, end_subscription, to_the_app
from tests.agents.stage import MAC, issue
from tests.conftest import NOW, Cast, Clock

AS_ADA = ("--as", Cast.ada)


@pytest.fixture(autouse=True)
def _stage(cast: Cast, clock: Clock) -> None:
    """Every command finds the cast, and the clock standing at NOW."""


@pytest.fixture
def carl(app: Flask) -> RealAgent:
    """Carl's agent, signed in on a machine that it has registered."""
    agent = RealAgent(to_the_app(app.test_client()))
    answer = agent.sign_in(Cast.carl, hostname="erp-1", agent_version="4.2", machine_id="one")
    assert answer.status == 201
    return agent


def run(app: Flask, *arguments: str) -> Result:
    with app.app_context():
        return app.test_cli_runner().invoke(args=list(arguments))


def machines(app: Flask, organisation_id: str = Cast.acme) -> list[dict[str, object]]:
    answer = run(app, "agents", "list", "--organisation", organisation_id, "--json")
    assert answer.exit_code == 0, answer.stderr
    rows: list[dict[str, object]] = json.loads(answer.stdout)
    return rows


def licenses(app: Flask) -> list[dict[str, object]]:
    answer = run(app, "licenses", "list", "--organisation", Cast.acme, "--json")
    assert answer.exit_code == 0, answer.stderr
    rows: list[dict[str, object]] = json.loads(answer.stdout)
    return rows


class TestList:
    def test_as_json(self, app: Flask, carl: RealAgent) -> None:
        with app.app_context():
            [(agent_id, key_id)] = db.session.execute(
                select(Agent.id, PermanentLicense.key_id).join(PermanentLicense)
            ).all()
        assert machines(app) == [
            {
                "id": agent_id,
                "mac_id": MAC,
                "hostname": "erp-1",
                "agent_version": "4.2",
                "state": "attached",
                "key_id": key_id,
                "registered_at": "2026-11-24T15:40:00Z",
                "registered_by": Cast.carl,
                "last_seen_at": "2026-11-24T15:40:00Z",
            }
        ]

    def test_as_a_table(self, app: Flask, carl: RealAgent) -> None:
        answer = run(app, "agents", "list", "--organisation", Cast.acme)
        headings, row = answer.stdout.splitlines()
        assert headings.split()[:3] == ["ID", "MAC", "ID"]
        assert MAC in row

    def test_another_card_makes_no_second_row_and_names_the_machine_too(
        self, app: Flask, carl: RealAgent
    ) -> None:
        other = RealAgent(to_the_app(app.test_client()), OTHER_MAC)
        assert other.sign_in(Cast.carl, machine_id="one").status == 201
        assert [row["mac_id"] for row in machines(app)] == [MAC]
        assert run(app, "agents", "detach", OTHER_MAC, *AS_ADA).exit_code == 0
        assert [row["state"] for row in machines(app)] == ["detached"]

    def test_of_none_is_an_empty_array(self, app: Flask) -> None:
        assert machines(app) == []
        assert run(app, "agents", "list", "--organisation", Cast.acme).stdout == ""

    def test_of_an_unknown_organisation_is_refused(self, app: Flask) -> None:
        answer = run(app, "agents", "list", "--organisation", "ORG-9", "--json")
        assert (answer.exit_code, answer.stdout) == (1, "")
        assert "There is no organisation 'ORG-9'." in answer.stderr


class TestDetachAndAttach:
    @pytest.mark.parametrize("spelling", [MAC, "00-1a-2b-3c-4d-5e", "001A.2B3C.4D5E", "{id}"])
    def test_by_mac_id_in_any_spelling_or_by_own_id(
        self, app: Flask, carl: RealAgent, spelling: str
    ) -> None:
        name = spelling.format(id=machines(app)[0]["id"])
        answer = run(app, "agents", "detach", name, *AS_ADA)
        assert (answer.exit_code, answer.stdout) == (0, f"Detached {MAC}; sessions ended: 1.\n")
        assert machines(app)[0]["state"] == "detached"
        assert carl.heartbeat().code == "agent_blocked"
        assert carl.sign_in(Cast.carl, machine_id="one").code == "agent_blocked"
        answer = run(app, "agents", "attach", name, *AS_ADA)
        assert (answer.exit_code, answer.stdout) == (0, f"Attached {MAC}.\n")
        assert carl.sign_in(Cast.carl, machine_id="one").status == 201

    @pytest.mark.parametrize("command", ["detach", "attach"])
    def test_twice_is_refused(self, app: Flask, carl: RealAgent, command: str) -> None:
        run(app, "agents", "detach", MAC, *AS_ADA)
        if command == "attach":
            run(app, "agents", "attach", MAC, *AS_ADA)
        answer = run(app, "agents", command, MAC, *AS_ADA)
        assert answer.exit_code == 1
        assert "already" in answer.stderr

    def test_is_recorded_under_the_admins_name(self, app: Flask, carl: RealAgent) -> None:
        run(app, "agents", "detach", MAC, *AS_ADA)
        with app.app_context():
            [event] = db.session.scalars(
                select(AuditEvent).where(AuditEvent.tag == "machine.detached")
            )
            assert (event.actor, event.address) == (Cast.ada, "command line")

    @pytest.mark.parametrize("command", ["detach", "attach", "dissociate"])
    @pytest.mark.parametrize("who", [Cast.audrey, Cast.pat, Cast.carl, "nobody@example.com"])
    def test_only_for_a_super_admin(
        self, app: Flask, carl: RealAgent, command: str, who: str
    ) -> None:
        answer = run(app, "agents", command, MAC, "--as", who)
        assert answer.exit_code == 1
        assert f"{who} is not a super admin here" in answer.stderr
        assert machines(app)[0]["state"] == "attached"


class TestSeveralMachinesWithOneMacId:
    @pytest.mark.parametrize("command", ["detach", "dissociate"])
    def test_are_told_apart_by_their_own_ids(
        self, app: Flask, carl: RealAgent, command: str
    ) -> None:
        RealAgent(to_the_app(app.test_client())).sign_in(Cast.carl, machine_id="two")
        ids = [row["id"] for row in machines(app)]
        answer = run(app, "agents", command, MAC, *AS_ADA)
        assert answer.exit_code == 1
        assert f"names several machines; name one by its ID: {ids[1]}, {ids[0]}." in answer.stderr
        assert run(app, "agents", command, str(ids[0]), *AS_ADA).exit_code == 0
        assert carl.heartbeat().status == 200


class TestDissociate:
    def test_frees_the_machine(self, app: Flask, carl: RealAgent) -> None:
        answer = run(app, "agents", "dissociate", MAC, *AS_ADA)
        assert (answer.exit_code, answer.stdout) == (0, f"Dissociated {MAC}; sessions ended: 1.\n")
        assert machines(app) == []
        assert carl.heartbeat().code == "session_ended"
        assert "license_key" in carl.sign_in(Cast.carl).json
        [old] = [row for row in licenses(app) if row["state"] == "revoked"]
        assert old["kind"] == "permanent"

    def test_of_a_machine_that_was_dissociated_is_refused(
        self, app: Flask, carl: RealAgent
    ) -> None:
        run(app, "agents", "dissociate", MAC, *AS_ADA)
        answer = run(app, "agents", "dissociate", MAC, *AS_ADA)
        assert answer.exit_code == 1
        assert f"There is no machine {MAC}" in answer.stderr


@pytest.mark.parametrize("command", ["detach", "attach", "dissociate"])
class TestWrongUse:
    @pytest.mark.parametrize("name", ["0", "2147483647", "9999999999", OTHER_MAC])
    def test_no_such_machine_is_refused(self, app: Flask, command: str, name: str) -> None:
        answer = run(app, "agents", command, name, *AS_ADA)
        assert answer.exit_code == 1
        assert f"There is no machine {name}" in answer.stderr

    @pytest.mark.parametrize(
        "name", ["", "x", "00:1A", "FF:FF:FF:FF:FF:FF", "-1", "1.5", "٣", "9" * 30]
    )
    def test_what_names_no_machine_is_used_wrongly(
        self, app: Flask, command: str, name: str
    ) -> None:
        answer = run(app, "agents", command, *AS_ADA, "--", name)
        assert answer.exit_code == 2, answer.output

    def test_without_as_is_used_wrongly(self, app: Flask, command: str) -> None:
        assert run(app, "agents", command, MAC).exit_code == 2


class TestPermanentLicenses:
    def test_are_listed_with_the_temporary_ones_in_one_order(
        self, app: Flask, cast: Cast, carl: RealAgent, clock: Clock
    ) -> None:
        with app.app_context():
            old = issue(db.session(), cast, now=NOW - timedelta(hours=2)).key_id
            new = issue(db.session(), cast, now=NOW + timedelta(seconds=5)).key_id
        clock.advance(seconds=10)
        rows = licenses(app)
        assert [(row["key_id"], row["kind"], row["state"]) for row in rows] == [
            (new, "temporary", "active"),
            (rows[1]["key_id"], "permanent", "active"),
            (old, "temporary", "expired"),
        ]
        assert list(rows[1])[:5] == ["key_id", "kind", "state", "issued_at", "expires_at"]
        assert set(list(rows[1].values())[4:]) == {None}
        assert rows[1]["issued_at"] == "2026-11-24T15:40:00Z"
        assert rows[1]["expires_at"] is None

    def test_end_with_the_subscription(
        self, app: Flask, cast: Cast, carl: RealAgent, clock: Clock
    ) -> None:
        with app.app_context():
            end_subscription(db.session(), cast.acme, NOW.date())
        clock.instant = NOW.replace(hour=23, minute=59, second=59)
        assert [row["state"] for row in licenses(app)] == ["active"]
        clock.advance(seconds=1)
        assert [row["state"] for row in licenses(app)] == ["expired"]

    def test_are_shown_in_a_table(self, app: Flask, carl: RealAgent) -> None:
        answer = run(app, "licenses", "list", "--organisation", Cast.acme)
        assert answer.stdout.splitlines()[1].split()[1:] == [
            "permanent",
            "active",
            "2026-11-24T15:40:00Z",
            *("-", "-", "-"),
        ]

    @pytest.mark.parametrize("spelling", [str, str.lower, lambda text: text.replace("-", " ")])
    def test_are_revoked_by_key_id(self, app: Flask, carl: RealAgent, spelling: object) -> None:
        [row] = licenses(app)
        name = spelling(row["key_id"])  # type: ignore[operator]
        answer = run(app, "licenses", "revoke", name, *AS_ADA)
        assert answer.exit_code == 0, answer.stderr
        assert answer.stdout == f"{row['key_id']} was revoked; sessions ended: 1.\n"
        assert [one["state"] for one in licenses(app)] == ["revoked"]
        assert carl.heartbeat().code == "license_revoked"
        assert carl.sign_in(Cast.carl, machine_id="one").code == "license_revoked"

    def test_that_have_ended_stay_as_they_are(self, app: Flask, carl: RealAgent) -> None:
        [row] = licenses(app)
        for end in (("agents", "dissociate", MAC), ("licenses", "revoke", str(row["key_id"]))):
            assert run(app, *end, *AS_ADA).exit_code == 0
        answer = run(app, "licenses", "revoke", str(row["key_id"]), *AS_ADA)
        assert answer.stdout == f"{row['key_id']} had ended already. Nothing was changed.\n"
        assert licenses(app)[0]["state"] == "revoked"

    def test_are_revoked_by_super_admins_only(self, app: Flask, carl: RealAgent) -> None:
        [row] = licenses(app)
        answer = run(app, "licenses", "revoke", str(row["key_id"]), "--as", Cast.audrey)
        assert answer.exit_code == 1
        assert carl.heartbeat().status == 200
