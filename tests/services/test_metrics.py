"""The metrics of a real portal with two workers, on an address of their own; and its log."""

import json
import re
from http.client import HTTPConnection
from pathlib import Path

from tests.portal_process import PATIENCE, free_port, served_portal

NAMES = {
    "portal_requests_total",
    "portal_request_seconds",
    "portal_sign_ins_total",
    "portal_keys_generated_total",
    "portal_keys_active",
    "portal_sessions_live",
    "portal_refusals_total",
    "portal_write_lock_wait_seconds",
    "portal_jobs_waiting",
    "portal_audit_events_pending",
}


def ask(port: int, path: str, body: str | None = None) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = {"Content-Type": "application/json"} if body else {}
    connection.request("POST" if body else "GET", path, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_they_are_told_over_all_workers_and_nowhere_else(tmp_path: Path) -> None:
    port = free_port()
    bind = {"PORTAL_METRICS_BIND": f"127.0.0.1:{port}", "PORTAL_WORKERS": "2"}
    with served_portal(tmp_path, **bind) as server:
        for _ in range(20):
            assert ask(server.port, "/healthz")[0] == 200
        wrong = '{"login_id": "nobody@example.com", "password": "x", "mac_id": "00:1A:2B:00:00:01"}'
        assert ask(server.port, "/api/agent/v1/sessions", wrong)[0] == 401
        status, told = ask(port, "/metrics")
        assert status == 200
        assert set(re.findall(r"^# TYPE (\w+) ", told, re.MULTILINE)) == NAMES
        # However many workers have answered, and whichever tells.
        assert 'portal_requests_total{route="/healthz",status="200"} 20.0' in told
        assert "nobody@example.com" not in told
        assert ask(server.port, "/metrics")[0] == 404
        assert ask(port, "/login")[0] == 404
        assert ask(port, "/")[0] == 404
        lines = server.log.read_text(encoding="utf-8").splitlines()
    [begun] = [at for at, line in enumerate(lines) if "The OP Agent in the browser" in line]
    written = [json.loads(line) for line in lines[begun + 1 :]]
    assert {"method", "route", "status", "ms", "person", "request_id"} <= set(written[-1])
