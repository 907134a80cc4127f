"""The program: start a gateway, keep it until it is told to stop, close it.

The composition root: the only place that reads the clock's wall time, handles signals and sets up
logging.
"""

import asyncio
import logging
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from mesh7_core import errors
from mesh7_sidecar import state
from mesh7_sidecar.clock import Clock
from mesh7_sidecar.gateway import Gateway
from mesh7_sidecar.settings import Settings

if TYPE_CHECKING:
    from mesh7_sidecar.pod import Pod

OPEN_FILES = 8_192
"""The data listener's 4,000 connections, as many to sources, and some to spare."""
Announce = Callable[[Mapping[str, object]], None]
_CLOCK = Clock(wall_ns=time.time_ns, monotonic_ns=time.monotonic_ns, monotonic_s=time.monotonic)


def run(settings: Settings, announce: Announce) -> int:
    """Guard a folder until SIGTERM or SIGINT; calls in flight get ten seconds to finish.

    Args:
        settings: how.
        announce: told once, with what `/control/status` answers, when calls are served.

    Returns:
        The exit status, 0.

    Raises:
        ManifestError, SettingsError: it cannot start; the message says what to do.
    """
    _log_to_stderr()
    _allow_open_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(settings, announce))


def pod(environment: Mapping[str, str]) -> int:
    """Be the sidecar of the pod that the environment describes, until SIGTERM.

    Returns:
        The exit status, 0.

    Raises:
        SettingsError: it cannot start; the message says what to do.
    """
    # Imported here: a laptop's gateway has no use for keys and deliveries.
    from mesh7_sidecar import pod_settings  # noqa: PLC0415
    from mesh7_sidecar.pod import Pod  # noqa: PLC0415

    settings = pod_settings.read(environment)
    _log_to_stderr()
    _allow_open_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run_pod(settings.state, lambda held: Pod(settings, held, _CLOCK)))


def stdio(settings: Settings, source: str | None) -> int:
    """Be an MCP server on stdin and stdout, in front of the gateway that holds the state folder.

    Returns:
        The exit status: 0 when stdin ended or SIGTERM came.

    Raises:
        ManifestError, SettingsError: it cannot start; the message says what to do.
    """
    # Imported here: `mesh7 run` has no use for it.
    from mesh7_sidecar.stdio import program  # noqa: PLC0415

    _log_to_stderr()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        client = program.Client(agent=settings.agent, labels=settings.labels, source=source)
        return runner.run(
            program.run_stdio(
                settings.state,
                client,
                lambda: hold(settings, "mesh7 stdio"),
                lambda held: start(settings, held),
            )
        )


async def start(settings: Settings, held: state.Held) -> Gateway:
    """A started gateway; the folder is let go when it cannot start."""
    gateway = Gateway(settings, held, _CLOCK)
    try:
        await gateway.start()
    except errors.Mesh7Error:
        await gateway.close()
        raise
    return gateway


def hold(settings: Settings, program: str) -> state.Held | state.HeldElsewhere:
    """Take the state folder, or say who has it."""
    return state.hold(settings.state, program, _CLOCK.now())


async def _run(settings: Settings, announce: Announce) -> int:
    held = hold(settings, "mesh7 run")
    if isinstance(held, state.HeldElsewhere):
        raise errors.SettingsError(str(held))
    # Before anything is announced: whoever reads that may stop us at once.
    stopping = _stopping()
    gateway = await start(settings, held)
    try:
        announce(gateway.status())
        await stopping.wait()
    finally:
        await gateway.close()
    return 0


async def _run_pod(folder: Path, made: Callable[[state.Held], "Pod"]) -> int:
    stopping = _stopping()
    held = _held_by_pod(folder)
    try:
        sidecar = made(held)
    except errors.Mesh7Error:
        held.release()
        raise
    starting = asyncio.create_task(sidecar.start())
    ending = asyncio.create_task(stopping.wait())
    try:
        # SIGTERM may come while the first bundle is waited for.
        await asyncio.wait([starting, ending], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            await ending
    finally:
        for task in (starting, ending):
            task.cancel()
        await asyncio.gather(starting, ending, return_exceptions=True)
        await sidecar.close()
    return 0


def _held_by_pod(folder: Path) -> state.Held:
    try:
        held = state.hold(folder, "mesh7-sidecar", _CLOCK.now())
    except errors.SettingsError as error:
        raise errors.SettingsError(error.message.replace("--state", "MESH7_STATE")) from error
    if isinstance(held, state.HeldElsewhere):
        raise errors.SettingsError(str(held).replace("--state", "MESH7_STATE"))
    return held


def _stopping() -> asyncio.Event:
    """Set by SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _log_to_stderr() -> None:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )


def _allow_open_files() -> None:
    """Use what we are allowed: the usual soft limits (1,024; macOS 256) are fewer than our own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
