"""The answer to one passed-on MCP message on its way back to the agent.

A JSON answer is read whole and checked; an event stream is relayed event by event, each as the
bytes it came as unless policy has to change it. A source's failure becomes an answer that names
the source and never its address.
"""

from typing import TYPE_CHECKING, Final

from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.doors import finals, server_messages
from mesh7_sidecar.net import upstream
from mesh7_sidecar.net.exchange import Headers
from mesh7_sidecar.sources import failures
from mesh7_sidecar.wire import answers, headers, jsonrpc, mcp, meta, results, sse

if TYPE_CHECKING:
    from mesh7_sidecar.doors.post import Post

JSON: Final = (b"content-type", b"application/json")
OK: Final = 200


class Relay:
    """Receives what the source answers to one `Post`.

    Attributes:
        sending: the request under way; set right after it was sent.
    """

    __slots__ = (
        "_chunks",
        "_events",
        "_has_id",
        "_headers",
        "_is_final",
        "_post",
        "_status",
        "sending",
    )

    sending: upstream.Sending

    def __init__(self, post: "Post") -> None:
        self._post = post
        self._status = 0
        self._headers: Headers = []
        self._chunks: list[bytes] = []
        self._events: sse.Decoder | None = None
        self._has_id = False
        self._is_final = False

    def head(self, status: int, fields: Headers) -> None:
        """The answer begins."""
        self._status = status
        self._headers = fields
        for name, value in fields:
            if name == b"content-type":
                if status == OK and headers.is_event_stream(value):
                    self._start_events()
                return

    def data(self, chunk: bytes) -> None:
        """Some of the answer's body."""
        if self._events is None:
            self._chunks.append(chunk)
            return
        for event in self._events.feed(chunk):
            self._relay(event)
        if self._events.is_overflowed and not self._is_final:
            self._break_off("sent an event that is too large", "too-large")
        elif self._post.exchange.is_full:
            self.sending.pause()

    def end(self) -> None:
        """The answer is complete."""
        exchange = self._post.exchange
        self._leave()
        if self._events is not None:
            if self._is_final or not self._expects_answer() or self._moves():
                exchange.finish()
            else:
                self._break_off("ended its stream without an answer", "malformed")
            return
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        if self._status == OK and self._post.asked.message.kind is jsonrpc.Kind.REQUEST:
            final = finals.judge(self._post, body, self._headers)
            exchange.respond(final.status, self._agent_headers(), final.body)
            self._post.record(final.outcome, final.detail)
        else:
            self._pass_status(body)

    def fail(self, failure: upstream.Failure) -> None:
        """The rest of the answer will not come."""
        self._break_off(failure.message, failure.kind)

    def gone(self) -> None:
        """The agent left: on modern that is the cancellation, on legacy the source may go on."""
        self._leave()
        self.sending.abort()
        self._post.record(Outcome.GONE)

    def _start_events(self) -> None:
        self._events = sse.Decoder(self._post.served.source.bounds.maximum_response_bytes)
        finals.note_session(self._post, self._headers)
        self._post.exchange.start(OK, self._agent_headers())
        self._post.exchange.on_drain = self._resume

    def _resume(self) -> None:
        # Not bound earlier: the first event may come before `sending` is set.
        self.sending.resume()

    def _relay(self, event: sse.Event) -> None:
        if self._is_final:
            return
        self._has_id = self._has_id or event.id is not None
        post = self._post
        if not event.data:
            post.exchange.write(event.raw)
            return
        if results.kind_of(event.data) is jsonrpc.Kind.RESPONSE:
            self._relay_answer(event)
            return
        message = jsonrpc.parse(event.data)
        if isinstance(message, jsonrpc.Malformed):
            self._break_off("sent an event that is not JSON-RPC", "malformed")
        elif server_messages.may_pass(post.served, post.session, message):
            data = meta.without_ours(message)
            post.exchange.write(event.raw if data is event.data else event.with_data(data))
        elif message.kind is jsonrpc.Kind.REQUEST:
            server_messages.refuse(post.served, post.prepared, message)

    def _moves(self) -> bool:
        """Whether the client can fetch the answer on a stream that it resumes by an event id."""
        post = self._post
        identifier = post.asked.message.id
        if not self._has_id or post.session is None or identifier is None:
            return False
        post.session.move(identifier, self._judge_late)
        return True

    def _judge_late(self, body: bytes) -> bytes:
        final = finals.judge(self._post, body, self._headers)
        self._post.record(final.outcome, final.detail)
        return final.body

    def _relay_answer(self, event: sse.Event) -> None:
        final = finals.judge(self._post, event.data, self._headers)
        self._is_final = True
        raw = event.raw if final.body is event.data else event.with_data(final.body)
        self._post.exchange.write(raw)
        self._post.record(final.outcome, final.detail)

    def _pass_status(self, body: bytes) -> None:
        """A status other than 200, or an answer to what was no request."""
        post = self._post
        if self._expects_answer() and self._status not in finals.PASSED_STATUSES:
            what = failures.of_status(self._status, post.served.source)
            self._break_off(what, str(self._status))
            return
        if self._status == finals.NOT_FOUND and post.session is not None:
            post.state.sessions.close(post.session)
        post.exchange.respond(self._status, self._agent_headers(), body)
        post.record(Outcome.PROTOCOL_ERROR, str(self._status))

    def _break_off(self, what: str, detail: str) -> None:
        """Answer in the source's stead; on a started stream as its last event."""
        post = self._post
        self._leave()
        message = f"source `{post.served.source.name}` {what}"
        status, fields, body = answers.source_failure(post.asked, message)
        if self._events is None:
            post.exchange.respond(status, fields, body)
        else:
            self.sending.abort()
            if self._expects_answer() and not self._is_final:
                post.exchange.write(sse.encode(body))
            post.exchange.finish()
        self._is_final = True
        post.record(Outcome.FAILED, detail)

    def _leave(self) -> None:
        post = self._post
        post.exchange.on_gone = None
        if post.asked.kind is mcp.Kind.LISTEN:
            post.state.streams.discard(post.exchange)

    def _expects_answer(self) -> bool:
        return self._post.asked.message.kind is jsonrpc.Kind.REQUEST

    def _agent_headers(self) -> Headers:
        passed = self._post.served.passed(self._headers)
        if self._post.asked.kind is mcp.Kind.INITIALIZE:
            return passed + [pair for pair in self._headers if pair[0] == headers.SESSION_ID]
        return passed
