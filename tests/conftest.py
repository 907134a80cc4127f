"""What every test may use: a bounded wait, a free port, a folder of manifests. Nothing else."""

import asyncio
import os
import signal
import textwrap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import settings

from tests.peers import ports

_PATIENCE_S = 30.0
_STEP_S = 0.005

# A shell that starts us in the background has us ignore Ctrl-C, and all that we start with us.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A law is tried on more examples by CI, the same each time: what nobody changed does not fail.
# New ones are looked for by day and, many, by night. No deadline: two cores are shared.
settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture
def eventually() -> Eventually:
    """Wait until a claim holds, at most half a minute; for what gives no event to wait on.

    Prefer an event or a condition: this one is for the outside world (a file, a process, a port).
    """

    async def wait_until(claim: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not claim():
            if time.monotonic() > deadline:
                pytest.fail(f"did not come true within {_PATIENCE_S:.0f} s")
            await asyncio.sleep(_STEP_S)

    return wait_until


@pytest.fixture
def free_port() -> int:
    """A loopback port that nobody holds; prefer listening on port 0 where you can."""
    return ports.free()


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    """Write `{relative path: text}` into a fresh folder and answer the folder."""

    def write(files: dict[str, str]) -> Path:
        folder = tmp_path / "folder"
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        return folder

    return write
