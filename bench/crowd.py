"""Those who ask a portal under load: agents, super admins and partners.

Each does one thing at a time (`act`) and says after how many seconds it goes on; threads of one
process play all of them, in the order of when they are due.
"""

import heapq
import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from itertools import count
from random import Random
from urllib.parse import quote_plus

from bench.client import EMAIL, PATIENCE
from bench.judging import Asked
from bench.operations import PARTNER, PASSWORD

THREADS = 48
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
API = "/api/agent/v1"
JITTER = 0.2
"""Part of its interval by which a heartbeat comes earlier."""
KEY = re.compile(r"rw1\.[A-Za-z0-9_.-]+")
TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
EXPIRES = re.compile(r"[?&]key=([^&]+)")
Actor = Callable[["Line"], float | None]
"""Does one thing; the seconds until the next, or None when there is nothing more to do."""


class Story:
    """What happened, as those who asked know it. Threads only append to it."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.issued: list[str] = []
        """Key IDs that the portal said were generated."""
        self.revoked: dict[str, tuple[float, float]] = {}
        """Key ID: when it was asked for, and when it was answered."""
        self.sessions: list[str] = []
        """Tokens of the sessions that the portal said were opened."""
        self.key_of: dict[str, str] = {}
        """The Key ID of each session that an actor opened or was given."""
        self.expiry_of: dict[str, float] = {}
        self.fresh: deque[str] = deque()
        """Texts of keys that nobody has used yet."""


class Line:
    """A thread's connection to the portal."""

    def __init__(self, port: int, story: Story) -> None:
        self.port, self.story = port, story
        self._connection: HTTPConnection | None = None

    def ask(
        self,
        what: str,
        method: str,
        path: str,
        *,
        body: str = "",
        headers: dict[str, str] | None = None,
        session: str = "",
    ) -> tuple[Asked, dict[str, str], str]:
        """What was asked and answered, with the answer's headers and body."""
        sent = time.time()
        try:
            if self._connection is None:
                self._connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            self._connection.request(method, path, body or None, headers or {})
            answer = self._connection.getresponse()
            text = answer.read().decode()
        except (OSError, HTTPException):
            self._connection = None
            found = Asked(what, sent, time.time(), 0, session)
            self.story.asked.append(found)
            return found, {}, ""
        code = "later" if answer.headers["Retry-After"] else ""
        if answer.status == 401 and answer.headers.get_content_type() == "application/problem+json":
            code = json.loads(text).get("code", "")
        found = Asked(what, sent, time.time(), answer.status, session, code)
        self.story.asked.append(found)
        return found, {**dict(answer.headers)}, text


class Agent:
    """An OP Agent that asks for its session until that is refused."""

    def __init__(self, token: str, interval: float, random: Random) -> None:
        self.token, self.interval, self.random = token, interval, random

    def __call__(self, line: Line) -> float | None:
        headers = {"Authorization": f"Bearer {self.token}"}
        found, _, _ = line.ask(
            "heartbeat", "GET", f"{API}/session", headers=headers, session=self.token
        )
        if found.status == 401:
            return None
        return self.interval * self.random.uniform(1 - JITTER, 1)


class Partner:
    """Signs in with the next fresh key, and works until it ends."""

    def __init__(self, number: int, interval: float, random: Random) -> None:
        self.mac = f"02:CC:00:00:{number >> 8:02X}:{number & 255:02X}"
        self.interval, self.random = interval, random
        self.agent: Agent | None = None

    def __call__(self, line: Line) -> float | None:
        if self.agent is not None:
            pause = self.agent(line)
            if pause is None:
                self.agent = None
            return pause or 1
        try:
            key = line.story.fresh.popleft()
        except IndexError:
            return 1
        body = {"login_id": PARTNER, "password": PASSWORD, "mac_id": self.mac}
        found, _, text = line.ask(
            "agent sign-in",
            "POST",
            f"{API}/sessions",
            body=json.dumps(body | {"registration_key": key}),
            headers=JSON,
        )
        if found.status != 201:
            return 1
        opened = json.loads(text)
        token, license = opened["session_token"], opened["license"]
        line.story.key_of[token] = license["key_id"]
        line.story.expiry_of[token] = datetime.fromisoformat(license["expires_at"]).timestamp()
        line.story.sessions.append(token)
        self.agent = Agent(token, self.interval, self.random)
        return self.interval * self.random.random()


class Admin:
    """Searches, opens a project, generates a key, and now and then revokes one."""

    def __init__(
        self, words: list[str], projects: list[int], own_keys: list[list[str]], random: Random
    ) -> None:
        self.words, self.projects, self.own_keys = words, projects, own_keys
        self.random = random
        self.cookie = self.csrf_token = ""
        self.next = self._sign_in

    def __call__(self, line: Line) -> float:
        self.next(line)
        return self.random.uniform(0.5, 1.5)

    def _ask(self, line: Line, what: str, path: str, form: str = "") -> tuple[Asked, str, str]:
        headers = {"Cookie": self.cookie} | (FORM if form else {})
        body = f"{form}&csrf_token={quote_plus(self.csrf_token)}" if form else ""
        found, answered, text = line.ask(
            what, "POST" if form else "GET", path, body=body, headers=headers
        )
        if cookie := answered.get("Set-Cookie"):
            self.cookie = cookie.partition(";")[0]
        if token := TOKEN.search(text):
            self.csrf_token = token[1]
        return found, answered.get("Location", ""), text

    def _sign_in(self, line: Line) -> None:
        self._ask(line, "sign-in page", "/login")
        form = f"email={quote_plus(EMAIL)}&password={PASSWORD}"
        found, _, _ = self._ask(line, "sign-in", "/login", form)
        self.next = self._search if found.status == 303 else self._sign_in

    def _search(self, line: Line) -> None:
        self._ask(line, "search", f"/projects?q={quote_plus(self.random.choice(self.words))}")
        self.next = self._open

    def _open(self, line: Line) -> None:
        self.project = self.random.choice(self.projects)
        self._ask(line, "License tab", f"/projects/{self.project}/license")
        self.next = self._generate

    def _generate(self, line: Line) -> None:
        ttl = self.random.choice(["20s", "1m", "1h"])
        tab = f"/projects/{self.project}/license"
        found, address, _ = self._ask(line, "generate", tab, f"ttl={ttl}")
        self.next = self._search
        if found.status != 303 or not (chosen := EXPIRES.search(address)):
            return
        line.story.issued.append(chosen[1])
        _, _, page = self._ask(line, "License tab", address)
        if key := KEY.search(page):
            line.story.fresh.append(key[0])
        if self.own_keys and self.random.random() < 0.3:
            self.next = self._revoke

    def _revoke(self, line: Line) -> None:
        project, key_id = self.own_keys.pop()
        path = f"/projects/{project}/license/{key_id}/revoke"
        found, _, _ = self._ask(line, "revoke", path, "ttl=1h")
        if found.status == 303:
            line.story.revoked[key_id] = (found.sent, found.answered)
        self.next = self._search


def play(actors: list[tuple[float, Actor]], port: int, story: Story, until: float) -> None:
    """Let each actor act, first after its seconds, then when it says so, until that instant."""
    order, began, lock = count(), time.time(), threading.Condition()
    due = [(began + after, next(order), actor) for after, actor in actors]
    heapq.heapify(due)

    def take() -> Actor | None:
        with lock:
            while time.time() < until:
                now = time.time()
                if due and due[0][0] <= now:
                    return heapq.heappop(due)[2]
                lock.wait(max(0.0, min(until, due[0][0] if due else until) - now))
            return None

    def work() -> None:
        line = Line(port, story)
        while (actor := take()) is not None:
            pause = actor(line)
            if pause is not None:
                with lock:
                    heapq.heappush(due, (time.time() + pause, next(order), actor))
                    lock.notify()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
