"""After a whole day's work at a real portal, its log and its files are read from end to end."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from flask.sessions import SecureCookieSessionInterface

from app import create_app
from app.config import load_config
from tests.portal_process import ADMIN_EMAIL, Server, served_portal
from tests.services.test_two_portals import API, Browser

ADMIN_PASSWORD = "mirror-Quartz-lantern-71"
SAMPLE_PASSWORD = "velvet-Orchid-harbour-28"
WRONG_PASSWORD = "copper-Falcon-meadow-93"
TYPED_AS_EMAIL = "walnut-Saddle-breeze-46"
PARTNER, CLIENT = "partner@example.com", "client@example.com"


@dataclass
class Day:
    """What was done, and what of it nobody may find written down."""

    server: Server
    folder: Path
    admin: Browser = field(default_factory=Browser)
    secrets: dict[str, str] = field(default_factory=dict)
    seen: list[requests.Response] = field(default_factory=list)

    def browser(self) -> Browser:
        browser = Browser()
        browser.http.hooks["response"].append(lambda answer, **_: self.seen.append(answer))
        return browser

    @contextmanager
    def broken(self, breaks: str, mends: str) -> Iterator[None]:
        self.execute(breaks)
        yield
        self.execute(mends)

    def execute(self, statement: str) -> None:
        with closing(sqlite3.connect(self.folder / "portal.db", timeout=30)) as database:
            database.execute(statement)
            database.commit()


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    folder = tmp_path_factory.mktemp("day")
    settings = {
        "PORTAL_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "PORTAL_SAMPLE_DATA": "on",
        "PORTAL_SAMPLE_PASSWORD": SAMPLE_PASSWORD,
        "PORTAL_TRUSTED_PROXIES": "1",
    }
    with served_portal(folder, **settings) as server:
        day = Day(server, folder)
        day.admin = day.browser()
        for act in (at_the_portal, on_the_agent, what_goes_wrong, what_fails):
            act(day)
        yield day


def at_the_portal(day: Day) -> None:
    """The admin signs in, after a wrong password and one typed into the wrong field, generates a
    key, looks at it, copies it, looks for it, and revokes another."""
    admin, at = day.admin, day.server
    day.secrets |= {
        "the admin's password": ADMIN_PASSWORD,
        "the sample accounts' password": SAMPLE_PASSWORD,
        "a wrong password": WRONG_PASSWORD,
        "a password typed as an e-mail": TYPED_AS_EMAIL,
    }
    assert admin.sign_in(at, WRONG_PASSWORD) == 401
    assert admin.sign_in(at, TYPED_AS_EMAIL, TYPED_AS_EMAIL) == 401
    assert admin.sign_in(at, ADMIN_PASSWORD) == 303
    day.secrets["the token of the admin's sign-in"] = token_in(admin, day.folder)
    key_id, key = admin.generate(at)
    revoked_id, revoked = admin.generate(at)
    day.secrets |= {"the signature of a key": key.rpartition(".")[2]}
    day.secrets |= {"the signature of a revoked key": revoked.rpartition(".")[2]}
    day.secrets |= {"the key": key, "the revoked key": revoked}
    copied = admin.post(at, f"/projects/1/license/{key_id}/copied", {})
    assert copied.status_code == 204
    assert admin.get(at, f"/projects?q={key}").status_code == 200
    assert admin.get(at, f"/projects/1/license?key={key}").status_code == 404
    assert admin.post(at, f"/projects/1/license/{revoked_id}/revoke", {}).status_code == 303
    for path in ("/", "/audit", "/projects/1", "/projects/1/license/all", "/projects/1/feed"):
        assert admin.get(at, path).status_code == 200


def token_in(browser: Browser, folder: Path) -> str:
    """What the cookie of a sign-in holds, for whoever has the portal's secret key."""
    app = create_app(load_config({"PORTAL_INSTANCE": str(folder)}))
    signer = SecureCookieSessionInterface().get_signing_serializer(app)
    return str(signer.loads(browser.http.cookies["rolling_window"])["_user_id"])


def on_the_agent(day: Day) -> None:
    """A partner works under the key with a program and in the browser, a client user without."""
    at, key = day.server, day.secrets["the key"]
    program, window = day.browser(), day.browser()
    program_token = sign_in(day, program, key)
    day.secrets["the token of a partner's session"] = program_token
    assert program.call(at, "GET", "/session", program_token)[0] == 200
    assert program.ask(at, "PUT", f"{API}/configuration", json={}).status_code == 401
    assert program.call(at, "POST", "/keys/inspect", registration_key=key)[0] == 200
    client = day.browser()
    answer = client.sign_in_on_agent(at, email=CLIENT, password=SAMPLE_PASSWORD, mac=mac(2))[1]
    day.secrets["the token of a client's session"] = answer["session_token"]
    day.secrets["the machine's license"] = answer["license_key"].rpartition(".")[2]
    window.get(at, "/agent")
    form = {"login_id": PARTNER, "password": SAMPLE_PASSWORD, "registration_key": key}
    assert window.post(at, "/agent", form).status_code == 303
    day.secrets["the cookie of the agent in the browser"] = window.http.cookies["op_agent"]
    assert window.get(at, "/agent").status_code == 200


def mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02X}"


def sign_in(day: Day, program: Browser, key: str) -> str:
    status, answer = program.sign_in_on_agent(day.server, key, PARTNER, SAMPLE_PASSWORD)
    assert status == 201, answer
    return str(answer["session_token"])


def what_goes_wrong(day: Day) -> None:
    """Wrong passwords, keys and fields, and JSON that is none: each answer says no secret again."""
    at, key, revoked = day.server, day.secrets["the key"], day.secrets["the revoked key"]
    program = day.browser()
    body = {
        "login_id": PARTNER,
        "password": SAMPLE_PASSWORD,
        "mac_id": mac(3),
        "registration_key": key,
    }
    wrong = [
        (401, body | {"password": WRONG_PASSWORD}),
        (401, body | {"login_id": TYPED_AS_EMAIL}),
        (401, body | {"login_id": key}),
        (401, body | {"password": key}),
        (403, body | {"registration_key": revoked}),
        (403, body | {"registration_key": key[:-4] + "AAAA"}),
        (403, body | {"registration_key": f"{key} {revoked}"}),
        (403, body | {"registration_key": SAMPLE_PASSWORD}),
        (422, body | {key: key}),
        (422, body | {"mac_id": key}),
        (422, body | {"mac_id": SAMPLE_PASSWORD}),
        (422, body | {"machine_id": key * 9}),
        (422, body | {"password": [SAMPLE_PASSWORD]}),
        (422, [body]),
    ]
    for status, sent in wrong:
        answer = program.ask(at, "POST", f"{API}/sessions", json=sent)
        assert answer.status_code == status, (status, answer.text)
    cut = json.dumps(body)[:-3]
    as_json = {"Content-Type": "application/json"}
    for status, data, headers in (
        (422, cut, as_json),
        (413, cut + " " * 70_000, as_json),
        (415, cut, {}),
    ):
        answer = program.ask(at, "POST", f"{API}/sessions", data=data, headers=headers)
        assert answer.status_code == status
    for path in (f"{API}/sessions/{key}", f"/{key}", f"/projects/1/license/{key}/revoke"):
        assert day.admin.get(at, path).status_code == 404
    window = day.browser()
    window.get(at, "/agent")
    form = {"login_id": PARTNER, "password": WRONG_PASSWORD, "registration_key": key}
    assert window.post(at, "/agent", form).status_code == 401
    out_of_date = form | {"csrf_token": "x"}
    window.ask(at, "POST", "/agent", data=out_of_date)
    window.ask(at, "POST", "/agent", data=form)


def what_fails(day: Day) -> None:
    """The portal itself fails, in the midst of what it does with a password and a key."""
    at, key = day.server, day.secrets["the key"]
    statuses = []
    tables = ("users", "agents", "temporary_licenses", "sign_in_failures", "audit_events")
    gone = [(f"ALTER TABLE {t} RENAME TO gone", f"ALTER TABLE gone RENAME TO {t}") for t in tables]
    no_roles = (
        "UPDATE users SET role = 'not ' || role",
        "UPDATE users SET role = substr(role, 5)",
    )
    for breaks, mends in (*gone, no_roles):
        with day.broken(breaks, mends):
            program, window = day.browser(), day.browser()
            window.get(at, "/agent")
            form = {"login_id": PARTNER, "password": SAMPLE_PASSWORD, "registration_key": key}
            answers = [
                program.ask(at, "POST", f"{API}/keys/inspect", json={"registration_key": key}),
                program.ask(at, "POST", f"{API}/sessions", json=form | {"mac_id": mac(4)}),
                window.post(at, "/agent", form),
                day.admin.get(at, "/projects/1/license"),
                day.admin.post(at, "/projects/1/license", {"ttl": "1h"}),
                window.post(at, "/login", {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}),
            ]
            statuses += [answer.status_code for answer in answers]
    assert statuses.count(503) > 10
    assert statuses.count(500) > 3


def written(day: Day) -> list[Path]:
    return [path for path in day.folder.rglob("*") if path.is_file()]


def test_the_log_and_the_files_hold_no_secret(day: Day) -> None:
    """Mallory reads the log at the place where logs are collected, and has a copy of the disk: the
    database with what was deleted from it, its write-ahead log, and the instance folder."""
    files = written(day)
    assert {"portal.db", "portal.db-wal", "server.log"} <= {path.name for path in files}
    found = [
        f"{what} in {path.relative_to(day.folder)}"
        for path in files
        for content in [MADE_AT_THE_START.sub(b"", path.read_bytes())]
        for what, secret in day.secrets.items()
        if secret.encode() in content
    ]
    assert found == []


MADE_AT_THE_START = re.compile(rb"^\S+@example\.com +\S+  \w+$", re.MULTILINE)
"""Where sample data is loaded, the start shows its passwords, this once."""


def test_the_search_would_find_what_is_there(day: Day) -> None:
    database = b"".join(path.read_bytes() for path in written(day) if "portal.db" in path.name)
    for there in (ADMIN_EMAIL, PARTNER, "license.copied", "agent.sign_in_refused"):
        assert there.encode() in database
    log = (day.folder / "server.log").read_text()
    assert "Traceback" in log
    assert "the database refused" in log
    assert len(day.secrets) > 10


def test_no_answer_says_a_secret_again_but_to_whom_it_was_given(day: Day) -> None:
    """Mallory reads what a program logs of the answers that it gets. A sign-in's token is in its
    own answer, a key on the License tab, and forms say again what was typed but the password."""
    tab = re.compile(r"/projects/1/license(\?|$)")
    passwords = {secret for what, secret in day.secrets.items() if what.endswith("password")}
    for answer in day.seen:
        path = answer.url.removeprefix(day.server.url)
        given = tab.match(path) or path in (f"{API}/sessions", "/login", "/agent")
        told = answer.text if not given or answer.status_code >= 500 else ""
        headers = [value for name, value in answer.headers.items() if name != "Set-Cookie"]
        for what, secret in day.secrets.items():
            if secret in path:  # the admin looked for it
                continue
            assert secret not in " ".join(headers), (what, path)
            assert secret not in told, (what, path)
        assert not [password for password in passwords if password in answer.text], path
