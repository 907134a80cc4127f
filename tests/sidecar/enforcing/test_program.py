"""`python -m mesh7_sidecar.enforce` where it cannot do its work: it fails, and says what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_LISTED = Path(__file__).parent / "listed.json"


def _ran(path: Path, user: str = "77007") -> subprocess.CompletedProcess[str]:
    """The program with another nft, or none, in its PATH."""
    return subprocess.run(
        [sys.executable, "-m", "mesh7_sidecar.enforce"],
        env={**os.environ, "PATH": str(path), "MESH7_USER": user},
        capture_output=True,
        text=True,
        check=False,
    )


def _nft(folder: Path, script: str) -> Path:
    """A folder with a program that is called nft."""
    (folder / "nft").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nft").chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (
            "echo 'Error: Could not process rule: Operation not permitted' >&2; exit 1",
            (
                "nft: Error: Could not process rule: Operation not permitted – the container "
                "needs the user 0 and the capability NET_ADMIN: does a Pod Security level or "
                "another admission take them away? see docs/administrator/enforcement.md"
            ),
        ),
        (
            "echo 'Error: Could not process rule: No such file or directory' >&2; exit 1",
            (
                "nft: Error: Could not process rule: No such file or directory – the node's "
                "kernel needs the modules nf_tables, nft_ct, nft_limit and nft_reject_inet: load "
                "them there, or lower the namespace's level; see docs/administrator/enforcement.md"
            ),
        ),
        (
            "exit 0",
            (
                "the table inet mesh7 is not what was loaded: the chain `arriving` is missing, or "
                "not the one that was meant – does somebody else write rules in this pod? "
                "see docs/administrator/enforcement.md"
            ),
        ),
    ],
    ids=["no right", "no module", "says yes and does nothing"],
)
def test_a_pod_that_cannot_be_closed_does_not_start(tmp_path: Path, script: str, told: str) -> None:
    """docs/administrator/enforcement.md, Troubleshooting."""
    done = _ran(_nft(tmp_path, script))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"mesh7-enforce: {told}\n")


def test_without_nft_it_says_so(tmp_path: Path) -> None:
    """A sidecar image of one's own has to bring it."""
    done = _ran(tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "mesh7-enforce: nft is missing – use mesh7's own image; "
        "see docs/administrator/enforcement.md\n"
    )


def test_a_bad_user_ends_it_before_any_rule(tmp_path: Path) -> None:
    done = _ran(_nft(tmp_path, f"touch {tmp_path}/asked"), user="root")
    assert done.returncode == 1
    assert not (tmp_path / "asked").exists()
