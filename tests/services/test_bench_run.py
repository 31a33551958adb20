"""What `make bench` asks; how fast it is answered is measured there alone."""

from pathlib import Path

from bench.client import latencies, sign_in
from bench.floor import short
from bench.run import Installation


def test_each_operation_is_answered_by_the_portal_and_by_its_floor(tmp_path: Path) -> None:
    bench = Installation(tmp_path / "bench", (30, 600), None)
    with bench.served() as portal, bench.floor_served(bench.operations) as floor:
        sign_in(portal)
        for one in bench.operations:
            latencies(portal, one, 1)
            answer, _ = floor.ask(one.method, f"/floor/{short(one.name)}")
            assert answer.status == 200, one.name
