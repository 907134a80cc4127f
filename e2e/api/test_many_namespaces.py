"""Many namespaces at once; `make soak-operator` does the same ten times as large."""

from pathlib import Path

import pytest

from e2e import soak


@pytest.mark.promise("K12")
def test_many_namespaces_converge_within_bounds_of_time_and_memory(tmp_path: Path) -> None:
    """Issue 5: converged within 30 s, a change in Redis within a second, RSS within 400 MiB."""
    found = soak.run(50, 4, 20, tmp_path)
    assert found.holds, found.rows()
