"""The program `mesh7 stdio`: one client on stdin and stdout, guarded by the folder's gateway.

The first process holds the state folder and runs the gateway; later ones join it over its socket,
each with its own agent and labels. All of them, the holder too, speak to the gateway over that
socket, so there is one door and one judge (P1). When a holder dies, those who had joined race for
the folder and go on. Nothing but protocol goes to stdout.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from mesh7_core import errors
from mesh7_sidecar import state
from mesh7_sidecar.net import identity, origin, pool
from mesh7_sidecar.net.heads import Headers
from mesh7_sidecar.net.sweep import Sweep
from mesh7_sidecar.stdio import joining
from mesh7_sidecar.stdio.bridge import Bridge
from mesh7_sidecar.stdio.pipes import Output, read_lines

FINISH_S: Final = 10.0
JOIN_S: Final = 30.0
"""Longer than a holder takes to end: ten seconds for its calls, six for its children."""
RETRY_S: Final = 0.05
_BOUNDS: Final = pool.PoolBounds(concurrency=1_000, waiting=1_000)

log = logging.getLogger("mesh7.stdio")


class Gateway(Protocol):
    """A gateway that this process runs."""

    async def wait_until_left(self) -> None:
        """Return once every process that joined has left again."""

    def stop_holding(self) -> None:
        """Answer all calls that wait for people: they are pending, and the gateway ends."""

    async def close(self) -> None:
        """Finish what is in flight, end everything and release the state folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who is at stdin.

    Attributes:
        source: None = all of the agent's sources under one roof.
        stdin, stdout: file descriptors.
    """

    agent: str
    labels: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None
    stdin: int = 0
    stdout: int = 1

    @property
    def path(self) -> str:
        """The gateway's MCP door for this client."""
        return "/mcp" if self.source is None else f"/mcp/{self.source}"

    @property
    def headers(self) -> Headers:
        """What tells the gateway who this is."""
        labels = [(identity.LABEL_HEADER, f"{key}={value}".encode()) for key, value in
                  self.labels.items()]  # fmt: skip
        return [(identity.AGENT_HEADER, self.agent.encode()), *labels]


async def run_stdio(
    directory: Path,
    client: Client,
    hold: Callable[[], state.Held | state.HeldElsewhere],
    start_gateway: Callable[[state.Held], Awaitable[Gateway]],
) -> int:
    """Serve the client until its stdin ends or we are told to stop; the exit code.

    Args:
        directory: the state folder.
        hold: takes the state folder, or says who holds it.
        start_gateway: runs a gateway in this process; it listens on the folder's socket when
            this returns. It owns the `Held` from then on.

    Raises:
        Mesh7Error: there is neither a gateway to join nor one to be started.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    sweep = Sweep()
    gateway = pool.Pool(
        origin.unix_origin(str(state.socket_path(directory))), sweep, bounds=_BOUNDS
    )
    place = _Place(gateway, client, hold, start_gateway)
    try:
        await place.find()
        output = Output(client.stdout)
        bridge = Bridge(gateway, client.path, client.headers, output)
        await _serve(client, bridge, output, place, stopping)
        await output.close(FINISH_S)
        await place.wait_until_left(stopping)
    finally:
        await place.leave()
        gateway.close()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    return 0


async def _serve(
    client: Client, bridge: Bridge, output: Output, place: "_Place", stopping: asyncio.Event
) -> None:
    """Pass messages on until the client is done, its reader is gone, or we are told to stop."""
    tasks = [
        asyncio.ensure_future(each)
        for each in (_pass_on(client, bridge, place), stopping.wait(), output.is_broken.wait())
    ]
    keeping = asyncio.ensure_future(place.keep())
    try:
        # A place that cannot be kept ends us with its error.
        await asyncio.wait([*tasks, keeping], return_when=asyncio.FIRST_COMPLETED)
        if stopping.is_set():
            place.stop_holding()
        if output.is_broken.is_set():
            await bridge.stop()
        else:
            await bridge.finish(FINISH_S)
    finally:
        for task in (*tasks, keeping):
            task.cancel()
        outcomes = await asyncio.gather(*tasks, keeping, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


async def _pass_on(client: Client, bridge: Bridge, place: "_Place") -> None:
    async for line in read_lines(client.stdin):
        await place.is_found.wait()
        await bridge.take(line)


class _Place:
    """Where this process stands: it runs the gateway, or it has joined the one that does.

    Attributes:
        is_found: set while there is a gateway to speak to.
    """

    def __init__(
        self,
        gateway: pool.Pool,
        client: Client,
        hold: Callable[[], state.Held | state.HeldElsewhere],
        start_gateway: Callable[[state.Held], Awaitable[Gateway]],
    ) -> None:
        self.is_found = asyncio.Event()
        self._gateway = gateway
        self._client = client
        self._hold = hold
        self._start_gateway = start_gateway
        self._own: Gateway | None = None
        self._membership: joining.Membership | None = None

    async def find(self) -> None:
        """Hold the folder, or join who does; while a holder starts or ends, try again.

        Raises:
            SettingsError: somebody holds the folder and does not answer.
        """
        deadline = asyncio.get_running_loop().time() + JOIN_S
        while True:
            found = self._hold()
            if isinstance(found, state.Held):
                await self._start(found)
                return
            self._membership = await joining.join(self._gateway, self._client.headers)
            if self._membership is not None:
                self.is_found.set()
                return
            if asyncio.get_running_loop().time() > deadline:
                message = f"{found}; it does not answer on its socket"
                raise errors.SettingsError(message)
            await asyncio.sleep(RETRY_S)

    async def keep(self) -> None:
        """Find a new place whenever the holder is gone; never returns."""
        while self._membership is not None:
            await self._membership.over.wait()
            self.is_found.clear()
            self._membership = None
            log.warning("the process that held the state folder is gone")
            await self.find()
        await asyncio.Event().wait()

    async def wait_until_left(self, stopping: asyncio.Event) -> None:
        """As the holder, stay until the last who joined has left, or we are told to stop."""
        if self._own is None:
            return
        waits = [
            asyncio.ensure_future(each) for each in (self._own.wait_until_left(), _set(stopping))
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    def stop_holding(self) -> None:
        """Let nobody wait for people any more, if the gateway is ours: it ends with us."""
        if self._own is not None:
            self._own.stop_holding()

    async def leave(self) -> None:
        """Leave the holder, or end the gateway that is ours."""
        if self._membership is not None:
            self._membership.leave()
        if self._own is not None:
            await self._own.close()

    async def _start(self, held: state.Held) -> None:
        try:
            self._own = await self._start_gateway(held)
        except BaseException:
            held.release()
            raise
        self.is_found.set()


async def _set(event: asyncio.Event) -> None:
    await event.wait()
