"""The tab of Acme, at an instant that stands still."""

import pytest

from tests.conftest import Cast, Clock


@pytest.fixture
def tab(cast: Cast) -> str:
    return f"/projects/{cast.acme_project}/license"


@pytest.fixture(autouse=True)
def _still(clock: Clock) -> None:
    """The clock stands at NOW until it is turned."""
