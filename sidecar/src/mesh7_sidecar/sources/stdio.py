"""MCP servers that are child processes, behind the same protocol as an HTTP upstream.

    POST  initialize                  a new session with a child of its own; its id in the answer
    POST  with Mcp-Session-Id         to that session's child
    POST  else                        modern: to the one shared child, started when first asked
    GET   with Mcp-Session-Id         the session's stream
    DELETE with Mcp-Session-Id        the session and its child end

A child that dies fails what it was asked and nothing else. The next request starts another, at
once if the last one had lasted, else after a growing pause (D12, D14). Nothing is sent twice but
a session's `initialize`: clients do not open a new session by themselves, so it is opened again.
"""

import asyncio
import logging
import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_core.policy import bundle
from mesh7_sidecar.net import upstream
from mesh7_sidecar.net.heads import Headers
from mesh7_sidecar.net.sweep import Sweep
from mesh7_sidecar.sources import child
from mesh7_sidecar.sources.backoff import Backoff
from mesh7_sidecar.sources.channel import Channel
from mesh7_sidecar.sources.child_sending import ChildSending
from mesh7_sidecar.sources.pending import Pending
from mesh7_sidecar.sources.session_stream import SessionStream
from mesh7_sidecar.wire import headers, jsonrpc, mcp

MAXIMUM_SESSIONS: Final = 32
IDLE_S: Final = 1800.0
PATIENCE_S: Final = 1.0
"""A pause before a restart that is not longer is waited for; else the call fails at once."""

_UNKNOWN_SESSION: Final = (404, jsonrpc.INVALID_REQUEST, "the session is unknown or over")
_NO_SESSION: Final = (400, jsonrpc.INVALID_REQUEST, "there is no session: send `initialize` first")
_TOO_MANY: Final = (503, jsonrpc.INTERNAL_ERROR, "too many sessions are open")
_NOT_ACCEPTABLE: Final = (406, jsonrpc.INVALID_REQUEST, "accept `text/event-stream`")
_STREAM_TAKEN: Final = (409, jsonrpc.INVALID_REQUEST, "the session's stream is open already")

log = logging.getLogger("mesh7.sources")


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a source's children do; for people, never for the agent.

    Attributes:
        is_running: the shared child runs.
        sessions: legacy sessions, one child each.
        ending: how the last child ended that ended by itself; empty when none did.
        stderr: the last lines that children wrote there, oldest first.
    """

    is_running: bool
    sessions: int
    ending: str
    stderr: tuple[str, ...]


class Children:
    """All stdio sources of a gateway, so that none outlives it.

    Args:
        environment: the gateway's own; children get an allow-listed part of it.
        sweep: looks at deadlines.
    """

    def __init__(self, environment: Mapping[str, str], sweep: Sweep) -> None:
        self._environment = environment
        self._sweep = sweep
        self._tasks: set[asyncio.Task[None]] = set()
        self._upstreams: set[StdioUpstream] = set()

    def upstream(self, source: bundle.Source) -> "StdioUpstream":
        """A way to a source; its child starts when it is first asked something."""
        environment = child.environment_of(self._environment, source.environment)
        made = StdioUpstream(source, environment, self._sweep, self._keep, self._upstreams.discard)
        self._upstreams.add(made)
        return made

    async def close(self) -> None:
        """End all children at once and wait for the last; done within about six seconds."""
        for each in tuple(self._upstreams):
            each.abort()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class StdioUpstream:
    """One source; implements `upstream.Upstream`. Made by `Children`."""

    def __init__(
        self,
        source: bundle.Source,
        environment: Mapping[str, str],
        sweep: Sweep,
        keep: Callable[[asyncio.Task[None]], None],
        forget: "Callable[[StdioUpstream], None]",
    ) -> None:
        self._source = source
        self._environment = environment
        self._sweep = sweep
        self._keep = keep
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._terms = upstream.Terms(
            answer_s=source.bounds.timeout.total_seconds(),
            maximum_bytes=source.bounds.maximum_response_bytes,
        )
        self._backoff = Backoff()
        self._stderr = child.Stderr()
        self._ending = ""
        self._shared: Channel | None = None
        self._sessions: dict[str, Channel] = {}
        self._is_closed = False
        sweep.watch(self._look)

    def send(self, request: upstream.Request, receiver: upstream.Receiver) -> upstream.Sending:
        """Send once. A body must be whole."""
        asking = ChildSending(receiver, self._source.bounds.maximum_response_bytes)
        if self._is_closed:
            asking.fails(_refused("is not served any more"))
            return asking
        found = _fields(request)
        session = found.get(headers.SESSION_ID, b"").decode("latin-1")
        accepts_events = _accepts_events(found.get(b"accept", b""))
        match request.method:
            case "POST":
                self._post(request, asking, session, accepts_events=accepts_events)
            case "GET" if session:
                self._open_stream(asking, session, accepts_events=accepts_events)
            case "DELETE" if session:
                self._delete(asking, session)
            case _:
                asking.answers(405, [(b"allow", b"POST")], b"")
        return asking

    def close(self) -> None:
        """Take no more requests; those under way finish within their terms, then children end."""
        self._is_closed = True
        self._look(self._loop.time())

    def abort(self) -> None:
        """End everything now; what is under way fails."""
        self._is_closed = True
        for channel in self._channels():
            self._stop(channel, "the gateway ends")
        self._look(self._loop.time())

    def status(self) -> Status:
        """How the children do."""
        return Status(
            is_running=self._shared is not None and self._shared.child is not None,
            sessions=len(self._sessions),
            ending=self._ending,
            stderr=self._stderr.lines(),
        )

    # Requests.

    def _post(
        self, request: upstream.Request, asking: ChildSending, session: str, *, accepts_events: bool
    ) -> None:
        message = jsonrpc.parse(request.body or b"")
        if isinstance(message, jsonrpc.Malformed):
            asking.refuses(message.id, (message.status, message.code, message.message))
            return
        is_request = message.kind is jsonrpc.Kind.REQUEST
        if not session and not is_request:
            # Modern notifications mean nothing over HTTP, and nobody has asked a client anything.
            asking.answers(202, [], b"")
            return
        channel = self._channel_for(session, message)
        if not isinstance(channel, Channel):
            asking.declines(message.id, channel)
            return
        if not is_request:
            # A child that ended awaits no answer, and there is nothing to cancel at it.
            if not channel.is_over:
                channel.tell(message)
            asking.answers(202, [], b"")
            return
        pending = Pending(
            message,
            asking.outlet,
            request.terms or self._terms,
            self._loop.time(),
            accepts_events=accepts_events,
            headers=[] if session else self._minted(channel),
            is_modern=channel.stream is None,
        )
        number = channel.ask(message, pending)
        if isinstance(number, upstream.Failure):
            asking.fails(number)
        else:
            asking.under_way(channel, number)

    def _channel_for(
        self, session: str, message: jsonrpc.Message
    ) -> "Channel | upstream.Failure | tuple[int, int, str]":
        if not session:
            return self._sessionless(message)
        channel = self._sessions.get(session)
        if channel is None:
            return _UNKNOWN_SESSION
        if channel.is_over and message.kind is jsonrpc.Kind.REQUEST:
            return self._reopen(session, channel)
        return channel

    def _sessionless(
        self, message: jsonrpc.Message
    ) -> "Channel | upstream.Failure | tuple[int, int, str]":
        """Where a request without a session goes."""
        if message.method == "initialize":
            if len(self._sessions) >= MAXIMUM_SESSIONS and not self._evict():
                return _TOO_MANY
            channel = self._start(SessionStream())
            if isinstance(channel, Channel):
                self._sessions[secrets.token_hex(16)] = channel
            return channel
        meta = message.params.get("_meta")
        if not isinstance(meta, dict) or mcp.META_VERSION not in meta:
            # It would reach a child that has seen no handshake.
            return _NO_SESSION
        if self._shared is None:
            channel = self._start(None)
            if not isinstance(channel, Channel):
                return channel
            self._shared = channel
        return self._shared

    def _reopen(self, session: str, ended: Channel) -> Channel | upstream.Failure:
        """Another child for a session whose own ended; its stream goes on."""
        channel = self._start(ended.stream)
        if isinstance(channel, Channel):
            channel.greet_again(ended.greeting)
            self._sessions[session] = channel
        return channel

    def _minted(self, channel: Channel) -> Headers:
        return [
            (headers.SESSION_ID, identifier.encode())
            for identifier, each in self._sessions.items()
            if each is channel
        ]

    def _open_stream(self, asking: ChildSending, session: str, *, accepts_events: bool) -> None:
        channel = self._sessions.get(session)
        if channel is None or channel.stream is None:
            asking.refuses(None, _UNKNOWN_SESSION)
        elif not accepts_events:
            asking.refuses(None, _NOT_ACCEPTABLE)
        elif channel.stream.is_open:
            asking.refuses(None, _STREAM_TAKEN)
        else:
            self._loop.call_soon(channel.stream.open, asking.outlet)

    def _delete(self, asking: ChildSending, session: str) -> None:
        channel = self._sessions.get(session)
        if channel is None:
            asking.refuses(None, _UNKNOWN_SESSION)
            return
        self._stop(channel, "the session was ended")
        asking.answers(204, [], b"")

    # Children.

    def _start(self, stream: SessionStream | None) -> Channel | upstream.Failure:
        wait_s = self._backoff.wait_s(self._loop.time())
        if wait_s > PATIENCE_S:
            return _refused(f"is started again in {math.ceil(wait_s)} s: {self._ending}")
        concurrency = self._source.bounds.maximum_concurrency
        channel = Channel(
            self._source.name, concurrency, stream, self._channel_ended, self._loop.time
        )
        self._keep(self._loop.create_task(self._run(channel, wait_s)))
        return channel

    async def _run(self, channel: Channel, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        if channel.is_over:
            return
        started = child.Child(channel, self._source.bounds.maximum_response_bytes, self._stderr)
        try:
            await child.start(self._source.command, self._environment, started)
        except OSError as error:
            log.error(  # noqa: TRY400 - a missing program needs no traceback
                "a source's program cannot be started",
                extra={"source": self._source.name, "why": error.strerror},
            )
            channel.ended("its program cannot be started")
            return
        if not channel.begin(started):
            await started.stop()

    def _channel_ended(self, channel: Channel, ending: str) -> None:
        self._ending = ending
        self._backoff.ended(channel.started_s, self._loop.time())
        log.warning(
            "a source's program ended",
            extra={"source": self._source.name, "why": ending, "stderr": self._stderr.lines()[-3:]},
        )
        if channel.greeting and channel.child is not None:
            self._keep(channel.child.stop())
        elif not channel.greeting:
            self._stop(channel, ending)

    def _stop(self, channel: Channel, ending: str) -> None:
        """Forget a channel and end its child; what is under way fails."""
        if channel is self._shared:
            self._shared = None
        for identifier in [key for key, each in self._sessions.items() if each is channel]:
            del self._sessions[identifier]
        if not channel.is_over:
            channel.close(ending)
        if channel.child is not None:
            self._keep(channel.child.stop())

    def _look(self, now_s: float) -> None:
        """End what is late or idle; called by the sweep."""
        for channel in self._channels():
            channel.expire(now_s)
            idle_s = now_s - channel.used_s
            if channel.is_idle and (self._is_closed or idle_s > IDLE_S):
                self._stop(channel, "nobody used it")
            elif self._is_closed and channel.stream is not None:
                channel.stream.close()
        if self._is_closed and not self._channels():
            self._sweep.unwatch(self._look)
            self._forget(self)

    def _evict(self) -> bool:
        """Make room for a session by ending the one that was idle longest."""
        idle = [channel for channel in self._sessions.values() if channel.is_idle]
        if not idle:
            return False
        self._stop(min(idle, key=lambda channel: channel.used_s), "another session took its place")
        return True

    def _channels(self) -> list[Channel]:
        shared = [] if self._shared is None else [self._shared]
        return shared + list(self._sessions.values())


def _fields(request: upstream.Request) -> dict[bytes, bytes]:
    """The headers, also those that are rendered already."""
    found = dict(request.headers)
    for line in request.block.split(b"\r\n"):
        name, _, value = line.partition(b":")
        found[name.lower()] = value.strip()
    return found


def _accepts_events(accept: bytes) -> bool:
    return b"text/event-stream" in accept.lower()


def _refused(text: str) -> upstream.Failure:
    return upstream.Failure(kind=upstream.FailureKind.REFUSED, message=text, is_unsent=True)
