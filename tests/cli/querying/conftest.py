"""A kubectl in PATH that knows an audit, and nobody's kubeconfig."""

from pathlib import Path

import pytest

from tests.cli.querying.worlds import Fake


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    return Fake(folder)
