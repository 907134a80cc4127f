"""What docs/reference/bundles.md says can be done with nothing of mesh7."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mesh7_core.delivery import spelled
from tests.core.delivery import test_payloads
from tests.core.delivery.parts import CHAIN, FIRST, STRANGER, THIRD, sealed

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "bundles.md"


def check(tmp_path: Path, envelope: bytes, key: bytes) -> subprocess.CompletedProcess[str]:
    """Run the page's program as an auditor would."""
    program = re.findall(r"(?ms)^```python\n(# check\.py\n.*?)^```", PAGE.read_text())
    (tmp_path / "check.py").write_text(program[0])
    (tmp_path / "envelope").write_bytes(envelope)
    return subprocess.run(
        [sys.executable, "-I", "check.py", "envelope", spelled.to_base64(key)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.promise("C5")
def test_the_pages_program_follows_the_chain_and_reads_a_bundle(tmp_path: Path) -> None:
    found = check(tmp_path, sealed(7, THIRD, test_payloads.BUNDLE_BYTES, links=CHAIN), FIRST.public)

    assert (found.stderr, found.stdout) == (
        "",
        "bundle of shop version 7\nAgentPolicy a\nAgentPolicy b\nToolSource billing\n",
    )


@pytest.mark.promise("K9")
@pytest.mark.parametrize(
    "envelope", [sealed(7, STRANGER), sealed(7, FIRST)[:-1], sealed(7).replace(b":7", b":8")]
)
def test_the_pages_program_refuses_what_is_forged(tmp_path: Path, envelope: bytes) -> None:
    assert check(tmp_path, envelope, FIRST.public).returncode == 1
