"""What is measured: requests of people and of agents, and the addresses that each rotates over."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

PARTNER, PASSWORD = "partner@example.com", "bench-pass-1"
"""Who signs in on agents; the super admin has the same password."""
HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@dataclass(frozen=True)
class Operation:
    """A request; `bodies` go with `paths` one by one, `status` is that of the right answer.

    A form gets the CSRF token of who is signed in. `once`: each request can be made only once.
    `hashes`: a password is hashed, which takes far longer than all else.
    """

    name: str
    paths: list[str]
    method: str = "GET"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    bodies: list[str] = field(default_factory=list)
    form: bool = False
    once: bool = False
    hashes: bool = False

    def requests(self, csrf_token: str) -> Iterator[tuple[str, str]]:
        """(path, body) of each request."""
        for number, path in enumerate(self.paths):
            body = self.bodies[number % len(self.bodies)] if self.bodies else ""
            yield path, f"{body}&csrf_token={csrf_token}" if self.form else body


def operations(params: dict[str, Any]) -> list[Operation]:
    """All operations on rows of which `params` tells."""
    groups = _lists(params), _keys(params), _project(params), _agents(params)
    return [*(one for group in groups for one in group), _revoke(params)]


def _lists(params: dict[str, Any]) -> list[Operation]:
    lists = params["lists"]
    plain = {
        "projects": "",
        "projects, last page": "page=-1",
        "projects by organisation": "sort=organisation",
        "projects by expiry": "sort=expiry",
        "projects, newest": "sort=newest",
        "projects of a plan": "plan=Team",
        "projects, expired": "expiry=expired",
        "projects, not expired": "expiry=current",
        "projects with active keys": "keys=active",
        "projects, archived": "archived=yes",
    }
    found = [Operation(name, [f"/projects?{query}"]) for name, query in plain.items()]
    searches = {
        "search, rare": [word.strip("@") for word in lists["rare"][:400]],
        "search, common": lists["common"],
        "search, Key ID": lists["key_id"][:400],
        "search, one letter": list("aeiounrst"),
        "search, two letters": ["an", "er", "so", "me", "ol", "te", "ro"],
    }
    for name, words in searches.items():
        found.append(Operation(name, [f"/projects?q={word}" for word in words]))
    found.append(Operation("search, as one types", found[-4].paths, headers=HTMX))
    found.append(Operation("Home", ["/"]))
    found.append(Operation("audit log", ["/audit"]))
    found.append(Operation("audit log, far page", ["/audit?page=9000", "/audit?page=-1"]))
    return found


def _keys(params: dict[str, Any]) -> list[Operation]:
    lists = params["lists"]
    organisations = lists["key_organisation"][:400]
    queries = {
        "keys": [""],
        "keys, far page": [f"after={number}" for number in range(1, 400)],
        "keys, active": ["state=active"],
        "keys, soonest": ["state=active&sort=soonest"],
        "keys, expired": ["state=expired"],
        "keys, revoked": ["state=revoked"],
        "keys, none used up": ["state=used_up"],
        "keys, ending within an hour": ["within=1h"],
        "keys of an organisation": [f"organisation={one}" for one in organisations],
        "keys, issued by": ["issued_by=admin%40example.com&state=active"],
    }
    found = [
        Operation(name, [f"/keys?{query}" for query in asked]) for name, asked in queries.items()
    ]
    palette = HTMX | {"HX-Target": "div#palette-options"}
    words = [word.strip("@") for word in lists["rare"][:400]]
    found.append(Operation("palette", [f"/search?q={word}" for word in words], headers=palette))
    common = [f"/search?q={word}" for word in lists["common"]]
    found.append(Operation("palette, common", common, headers=palette))
    return found


def _project(params: dict[str, Any]) -> list[Operation]:
    lists = params["lists"]
    typical = [f"/projects/{number}/license" for number in lists["typical_pk"][:400]]
    return [
        Operation("License tab", typical),
        Operation("License tab, fragment", typical, headers=HTMX),
        Operation(
            "License tab, thousand keys", [f"/projects/{n}/license" for n in lists["big_pk"]]
        ),
        Operation("Visits tab", [f"/projects/{n}/visits" for n in lists["typical_pk"][:400]]),
        Operation("generate", typical, "POST", 303, bodies=["ttl=1d"], form=True),
    ]


def _revoke(params: dict[str, Any]) -> Operation:
    """Last, because it ends what agents ask with."""
    own_keys = params["lists"]["own_key"]
    paths = [f"/projects/{project}/license/{key_id}/revoke" for project, key_id in own_keys]
    return Operation("revoke", paths, "POST", 303, bodies=["ttl=1d"], form=True, once=True)


def _agents(params: dict[str, Any]) -> list[Operation]:
    lists = params["lists"]
    token, is_json = lists["token"][0], {"Content-Type": "application/json"}
    inspected = [json.dumps({"registration_key": key}) for key in lists["key_text"]]
    base = "/api/agent/v1"
    partner = {"login_id": PARTNER, "password": PASSWORD, "mac_id": "02:BE:00:00:00:01"}
    # Of the keys that end last.
    keys = lists["key_text"][:20]
    sign_ins = [json.dumps(partner | {"registration_key": key}) for key in keys]
    return [
        Operation("heartbeat", [f"{base}/session"], headers={"Authorization": f"Bearer {token}"}),
        Operation(
            "inspect a key",
            [f"{base}/keys/inspect"] * len(inspected),
            "POST",
            headers=is_json,
            bodies=inspected,
        ),
        Operation("JWK Set", ["/.well-known/license-keys.json"]),
        Operation(
            "agent sign-in",
            [f"{base}/sessions"] * len(sign_ins),
            "POST",
            201,
            headers=is_json,
            bodies=sign_ins,
            hashes=True,
        ),
    ]
