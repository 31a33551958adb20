"""Two portals on one PostgreSQL, as behind a load balancer: what happens at one holds at both."""

import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from html import unescape
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from sqlalchemy import NullPool, create_engine, text

from tests.portal_process import ADMIN_EMAIL, FLASK, PATIENCE, Server, served_portal

pytestmark = pytest.mark.postgres

PASSWORD = "correct-horse-battery"
INSPECTIONS, REGISTRATIONS, FAILURES = 7, 3, 4
API = "/api/agent/v1"
ADDRESSES, MACHINES = count(1), count(1)


class Browser:
    """A person's browser, or an agent's machine, at an address of its own.

    The load balancer before the portals sends each request to the one that `at` names.
    """

    def __init__(self) -> None:
        self.http = requests.Session()
        self.http.trust_env = False
        self.address = f"203.0.113.{next(ADDRESSES)}"
        self.csrf_token = ""

    def ask(self, at: Server, method: str, path: str, **more: object) -> requests.Response:
        headers = {"X-Forwarded-For": self.address, "Host": "portal.example"}
        headers |= more.pop("headers", {})
        answer = self.http.request(
            method, at.url + path, headers=headers, allow_redirects=False, timeout=PATIENCE, **more
        )
        if found := re.search(r'name="csrf_token"[^>]*value="([^"]+)"', answer.text):
            self.csrf_token = found[1]
        return answer

    def get(self, at: Server, path: str) -> requests.Response:
        return self.ask(at, "GET", path)

    def post(
        self, at: Server, path: str, form: dict[str, str], **more: object
    ) -> requests.Response:
        return self.ask(at, "POST", path, data=form | {"csrf_token": self.csrf_token}, **more)

    def call(self, at: Server, method: str, path: str, token: str = "", **body: str):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = self.ask(at, method, API + path, json=body or None, headers=headers)
        return answer.status_code, answer.json()

    def sign_in(self, at: Server, password: str = PASSWORD, email: str = ADMIN_EMAIL) -> int:
        self.get(at, "/login")
        return self.post(at, "/login", {"email": email, "password": password}).status_code

    def generate(self, at: Server, ttl: str = "1h") -> tuple[str, str]:
        """A new key of the first project: (Key ID, text)."""
        self.get(at, "/projects/1/license")
        answer = self.post(at, "/projects/1/license", {"ttl": ttl})
        assert answer.status_code == 303, answer.text
        address = answer.headers["Location"]
        page = self.get(at, address).text
        return parse_qs(urlsplit(address).query)["key"][0], re.search(r"rw1\.[\w.-]+", page)[0]

    def open_session(self, at: Server, key: str) -> str:
        """A partner signs in with a key: the session's token."""
        status, answer = self.sign_in_on_agent(at, key)
        assert status == 201, answer
        return answer["session_token"]

    def sign_in_on_agent(
        self,
        at: Server,
        key: str = "",
        email: str = "partner@example.com",
        password: str = PASSWORD,
        mac: str = "02:00:00:00:00:01",
    ):
        body = {"login_id": email, "password": password, "mac_id": mac}
        return self.call(
            at, "POST", "/sessions", **body, **({"registration_key": key} if key else {})
        )


class Portals:
    def __init__(self, first: Server, second: Server, url: str) -> None:
        self.first, self.second = first, second
        self.both = (first, second)
        self.engine = create_engine(url, poolclass=NullPool)

    def number(self, query: str, **values: object) -> int:
        with self.engine.connect() as connection:
            return connection.scalar(text(query), values)

    def command(self, *words: str) -> str:
        """A command on the first portal's machine."""
        return subprocess.run(
            [*FLASK, *words],
            env=self.first.environ | {"PATH": "/usr/bin"},
            cwd=Path.cwd(),
            check=True,
            capture_output=True,
            text=True,
        ).stdout


@pytest.fixture(scope="module")
def portals(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portals]:
    """Each has an instance folder of its own; they share what the operator's guide says."""
    name = "two_portals"
    server = create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = postgres_url.replace("/postgres?", f"/{name}?")
    shared = {
        "PORTAL_DATABASE_URL": url,
        "PORTAL_SECRET_KEY": "the same on both machines " * 2,
        "PORTAL_SIGNING_KEYS": str(tmp_path_factory.mktemp("signing-keys")),
        "PORTAL_ADMIN_PASSWORD": PASSWORD,
        "PORTAL_SAMPLE_DATA": "on",
        "PORTAL_SAMPLE_PASSWORD": PASSWORD,
        "PORTAL_TRUSTED_PROXIES": "1",
        "PORTAL_INSPECT_LIMIT": f"{INSPECTIONS} per hour",
        "PORTAL_SIGNIN_FAILURES": f"{FAILURES} per hour",
        "PORTAL_REGISTRATIONS": f"{REGISTRATIONS} per hour",
    }
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(served_portal(tmp_path_factory.mktemp(machine), **shared))
            for machine in ("first", "second")
        )
        yield Portals(first, second, url)


@pytest.fixture
def admin(portals: Portals) -> Browser:
    browser = Browser()
    assert browser.sign_in(portals.first) == 303
    return browser


def test_a_key_generated_at_one_works_at_the_other_at_once(
    portals: Portals, admin: Browser
) -> None:
    key_id, key = admin.generate(portals.first)
    partner = Browser()
    status, answer = partner.call(portals.second, "POST", "/keys/inspect", registration_key=key)
    assert (status, answer["state"], answer["key_id"]) == (200, "active", key_id)
    token = partner.open_session(portals.second, key)
    assert partner.call(portals.first, "GET", "/session", token)[0] == 200


def test_revoked_at_one_it_ends_at_the_other_by_the_next_heartbeat(
    portals: Portals, admin: Browser
) -> None:
    key_id, key = admin.generate(portals.first)
    partner = Browser()
    token = partner.open_session(portals.second, key)
    assert partner.call(portals.second, "GET", "/session", token)[0] == 200
    answer = admin.post(portals.first, f"/projects/1/license/{key_id}/revoke", {})
    assert answer.status_code == 303
    status, refused = partner.call(portals.second, "GET", "/session", token)
    assert (status, refused["code"]) == (401, "key_revoked")
    status, refused = partner.sign_in_on_agent(portals.second, key)
    assert (status, refused["code"]) == (403, "key_revoked")


def test_both_publish_the_same_keys_and_revocations(portals: Portals, admin: Browser) -> None:
    _, key = admin.generate(portals.first)
    portals.command("keys", "rotate")
    sets = [admin.get(portal, "/.well-known/license-keys.json").json() for portal in portals.both]
    assert sets[0] == sets[1]
    assert len(sets[0]["keys"]) == 2
    _, newer = admin.generate(portals.second)
    for at in portals.both:
        for text_of_key in (key, newer):
            _, found = Browser().call(at, "POST", "/keys/inspect", registration_key=text_of_key)
            assert found["state"] == "active"


def test_a_browser_may_be_sent_to_either(portals: Portals, admin: Browser) -> None:
    """Without stickiness: signed in, form loaded and form sent, each at another portal."""
    admin.get(portals.first, "/projects/1/license")
    assert admin.post(portals.second, "/projects/1/license", {"ttl": "1h"}).status_code == 303
    admin.get(portals.second, "/")
    assert admin.post(portals.first, "/logout", {}).status_code == 303
    answer = admin.get(portals.second, "/projects")
    assert (answer.status_code, urlsplit(answer.headers["Location"]).path) == (303, "/login")


def test_an_import_begun_at_one_is_finished_at_the_other(portals: Portals, admin: Browser) -> None:
    admin.get(portals.first, "/projects/import")
    content = "Organisation ID,Project name\nORG-TWO,Two Portals Hub\n"
    uploaded = admin.post(
        portals.first, "/projects/import", {}, files={"file": ("clients.csv", content)}
    )
    page = admin.get(portals.second, uploaded.headers["Location"]).text
    form = page[page.index('action="/projects/import/confirm"') :].partition("</form>")[0]
    fields = dict(re.findall(r'name="([^"]+)"[^>]*value="([^"]*)"', form))
    fields = {name: unescape(value) for name, value in fields.items()}
    assert admin.post(portals.first, "/projects/import/confirm", fields).status_code == 303
    assert portals.number("SELECT count(*) FROM projects WHERE name = 'Two Portals Hub'") == 1


def test_who_is_disabled_at_one_is_out_at_the_other(portals: Portals) -> None:
    auditor = Browser()
    assert auditor.sign_in(portals.first, email="auditor@example.com") == 303
    assert auditor.get(portals.second, "/projects").status_code == 200
    portals.command("users", "disable", "auditor@example.com")
    assert auditor.get(portals.second, "/projects").status_code == 303
    assert auditor.sign_in(portals.second, email="auditor@example.com") == 401


@pytest.mark.parametrize("where", ["agent", "portal"])
def test_wrong_passwords_count_at_both_together(portals: Portals, where: str) -> None:
    """Somebody who guesses at both has no more tries than at one."""
    guesser, email = Browser(), "developer@example.com"

    def guess(at: Server) -> int:
        if where == "portal":
            return guesser.sign_in(at, "wrong", email)
        return guesser.sign_in_on_agent(at, email=email, password="wrong")[0]

    found = [guess(portals.both[number % 2]) for number in range(FAILURES + 2)]
    assert found == [401] * FAILURES + [429, 429]


def test_inspections_count_at_both_together(portals: Portals) -> None:
    checker = Browser()
    found = [
        checker.call(portals.both[number % 2], "POST", "/keys/inspect", registration_key="none")[0]
        for number in range(INSPECTIONS + 2)
    ]
    assert found == [200] * INSPECTIONS + [429, 429]


def test_machines_count_at_both_together_and_each_is_registered_once(portals: Portals) -> None:
    """Also when a machine's first sign-in arrives at both at the same instant."""
    client, email = Browser(), "client@example.com"

    def register(mac: str, at: Server) -> int:
        return Browser().sign_in_on_agent(at, email=email, mac=mac)[0]

    macs = [f"02:00:00:00:01:{number:02X}" for number in range(REGISTRATIONS + 1)]
    for mac in macs[: REGISTRATIONS - 1]:
        assert sorted(at_once(partial(register, mac), portals.both)) == [201, 201]
        assert portals.number("SELECT count(*) FROM agents WHERE mac_id = :mac", mac=mac) == 1
    # One place is left, and two machines want it.
    last = zip(macs[REGISTRATIONS - 1 :], portals.both, strict=True)
    assert sorted(at_once(lambda pair: register(*pair), list(last))) == [201, 429]
    assert client.sign_in_on_agent(portals.second, email=email, mac=macs[0])[0] == 201


def test_keys_generated_at_both_at_once_are_all_different_and_all_recorded(
    portals: Portals,
) -> None:
    people = [(Browser(), at) for at in portals.both * 3]
    for person, at in people:
        assert person.sign_in(at) == 303
    keys = at_once(lambda pair: [pair[0].generate(pair[1])[0] for _ in range(5)], people)
    made = [key_id for one in keys for key_id in one]
    assert len({*made}) == len(made) == 30
    query = "SELECT count(*) FROM audit_events WHERE tag = 'license.issued' AND subject = :key_id"
    assert {portals.number(query, key_id=key_id) for key_id in made} == {1}


def at_once(act: Callable, those: list | tuple) -> list:
    with ThreadPoolExecutor(len(those)) as threads:
        return list(threads.map(act, those))
