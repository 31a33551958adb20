"""Pages are compressed, unless their length would give away what they hold."""

import gzip

import pytest
from flask import Flask

from app.web.assets import load
from tests.conftest import Cast, Visitor

GZIP = {"Accept-Encoding": "gzip, deflate, br"}
OVER_HTTPS = {"wsgi.url_scheme": "https"}


@pytest.fixture
def tab(cast: Cast) -> str:
    return f"/projects/{cast.acme_project}/license"


def test_a_page_is_compressed_for_a_browser_that_takes_it(ada: Visitor, tab: str) -> None:
    plain, compressed = ada.client.get(tab), ada.client.get(tab, headers=GZIP)
    assert "Content-Encoding" not in plain.headers
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert b"<!DOCTYPE html>" in gzip.decompress(compressed.data)
    assert int(compressed.headers["Content-Length"]) == len(compressed.data)
    for answer in (plain, compressed):
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert "Cookie" in answer.headers["Vary"]


@pytest.mark.parametrize("refused", ["identity", "gzip;q=0", ""])
def test_not_for_one_that_does_not(ada: Visitor, tab: str, refused: str) -> None:
    answer = ada.client.get(tab, headers={"Accept-Encoding": refused})
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize(
    ("site", "compressed"),
    [
        ("same-origin", True),
        ("none", True),
        ("same-site", False),
        ("cross-site", False),
        ("", False),
    ],
)
def test_over_https_only_what_no_other_site_has_asked_for(
    ada: Visitor, tab: str, site: str, compressed: bool
) -> None:
    """A foreign page makes the browser ask with guesses, and measures the answers (BREACH)."""
    headers = GZIP | ({"Sec-Fetch-Site": site} if site else {})
    answer = ada.client.get(tab, headers=headers, environ_overrides=OVER_HTTPS)
    assert ("Content-Encoding" in answer.headers) is compressed


def test_what_is_short_or_no_page_stays_as_it_is(app: Flask) -> None:
    for path in ("/healthz", "/api/docs.json", "/.well-known/jwks.json"):
        assert "Content-Encoding" not in app.test_client().get(path, headers=GZIP).headers


def test_a_license_tab_is_small_on_the_wire(ada: Visitor, tab: str) -> None:
    """12 KB once the browser has the static files, 125 KiB at the first visit."""
    page = ada.client.get(tab, headers=GZIP)
    assert len(page.data) < 12_000
    text = gzip.decompress(page.data).decode()
    names = [part.split('"')[0].split("/", 1)[1] for part in text.split('="/static/')[1:]]
    assert len(names) > 15
    files = [load(name) for name in names]
    assert len(page.data) + sum(len(file.compressed or file.content) for file in files) < 125 * 1024
