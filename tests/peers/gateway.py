"""The gateway itself as a process: `mesh7 run` on a folder, with free ports and its own state."""

import asyncio
import contextlib
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.peers import processes

_READY_LINE = "Ctrl-C stops it."
_READY_WITHIN_S = 30.0
_DATA = re.compile(r"^\s*(http://\S+)/mcp\s", re.MULTILINE)
_ADMIN = re.compile(r"^\s*(http://\S+)\s+health and /metrics \(admin\)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayProcess:
    """A gateway that is ready.

    Attributes:
        url: the data listener, no trailing slash: `url + "/mcp/billing"`.
        admin: the admin listener likewise; empty when it is off.
        state: the state folder.
        announced: what it printed when it was ready.
        process: to signal it, or to wait for its end.
    """

    url: str
    admin: str
    state: Path
    announced: str
    process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        """The gateway's process id."""
        return self.process.pid


@contextlib.asynccontextmanager
async def running_gateway(
    folder: Path,
    *,
    state: Path | None = None,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> AsyncIterator[GatewayProcess]:
    """`mesh7 run FOLDER` while the block runs; ready when entered, gone with its children after it.

    Args:
        folder: the manifests.
        state: the state folder; a sibling of `folder` when not given.
        arguments: more flags, as `["--label", "app=support"]`; later ones win over ours.
        environment: added to ours, as `{"MESH7_CREDENTIAL_BILLING": "…"}`.
        log: where its stderr is appended; our own stderr when not given.

    Raises:
        AssertionError: it ended, or said nothing, before it was ready; with what it printed.
    """
    state = state or folder.with_name(f"{folder.name}-state")
    command = [sys.executable, "-m", "mesh7_cli", "run"]
    ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    argv: list[str | Path] = [*command, folder, *ports, "--state", state, *arguments]
    async with processes.running(argv, environment=environment, log=log) as process:
        announced = await _announced(process)
        data, admin = _DATA.search(announced), _ADMIN.search(announced)
        assert data is not None, f"no address announced:\n{announced}"
        yield GatewayProcess(
            url=data[1],
            admin=admin[1] if admin is not None else "",
            state=state,
            announced=announced,
            process=process,
        )


async def _announced(process: asyncio.subprocess.Process) -> str:
    """Everything printed up to the line that says it is ready."""
    assert process.stdout is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(_READY_WITHIN_S):
            async for line in process.stdout:
                lines.append(line.decode())
                if lines[-1].strip() == _READY_LINE:
                    return "".join(lines)
    except TimeoutError:
        lines.append(f"... and nothing more within {_READY_WITHIN_S:.0f} s")
    raise AssertionError(f"mesh7 run did not become ready:\n{''.join(lines)}")
