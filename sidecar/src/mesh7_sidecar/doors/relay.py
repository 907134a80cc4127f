"""The answer to one passed-on MCP message on its way back to the agent.

A JSON answer is read whole and checked; an event stream is relayed event by event, each as the
bytes it came as unless policy has to change it. A source's failure becomes an answer that names
the source and never its address.
"""

from typing import Final

from mesh7_core.telemetry.records import Outcome
from mesh7_sidecar.doors import finals, server_messages
from mesh7_sidecar.doors.inbound import Inbound
from mesh7_sidecar.net import upstream
from mesh7_sidecar.net.exchange import Headers
from mesh7_sidecar.sources import failures
from mesh7_sidecar.sources.passed import Passed
from mesh7_sidecar.wire import answers, headers, jsonrpc, mcp, meta, results, sse

OK: Final = 200


class Relay:
    """Receives what the source answers to one `Inbound`.

    Attributes:
        sending: the request under way; set right after it was sent.
    """

    __slots__ = (
        "_chunks",
        "_events",
        "_has_id",
        "_inbound",
        "_is_final",
        "_passed",
        "_status",
        "sending",
    )

    sending: upstream.Sending
    _passed: Passed

    def __init__(self, inbound: Inbound) -> None:
        self._inbound = inbound
        self._status = 0
        self._chunks: list[bytes] = []
        self._events: sse.Decoder | None = None
        self._has_id = False
        self._is_final = False

    def head(self, status: int, fields: Headers) -> None:
        """The answer begins."""
        self._status = status
        self._passed = passed = self._inbound.served.passed(fields)
        if passed.is_events and status == OK:
            self._start_events()

    def data(self, chunk: bytes) -> None:
        """Some of the answer's body."""
        if self._events is None:
            self._chunks.append(chunk)
            return
        if not self._is_final:
            self._take_events(self._events, chunk)

    def _take_events(self, decoder: sse.Decoder, chunk: bytes) -> None:
        for event in decoder.feed(chunk):
            self._relay(event)
        if self._is_answered():
            return
        if decoder.is_overflowed:
            self._break_off("sent an event that is too large", "too-large")
        elif self._inbound.exchange.is_full:
            self.sending.pause()

    def end(self) -> None:
        """The answer is complete."""
        if self._is_final:
            return
        exchange = self._inbound.exchange
        self._leave()
        if self._events is not None:
            if not self._expects_answer() or self._moves():
                exchange.finish()
            else:
                self._break_off("ended its stream without an answer", "malformed")
            return
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        if self._status == OK and self._inbound.asked.message.kind is jsonrpc.Kind.REQUEST:
            final = finals.judge(self._inbound, body, self._passed.fields)
            self._respond(final.status, final.body)
            self._inbound.record(final.outcome, final.detail)
        else:
            self._pass_status(body)

    def fail(self, failure: upstream.Failure) -> None:
        """The rest of the answer will not come."""
        if not self._is_final:
            self._break_off(failure.message, failure.kind)

    def gone(self) -> None:
        """The agent left: on modern that is the cancellation, on legacy the source may go on."""
        self._leave()
        self.sending.abort()
        self._inbound.record(Outcome.GONE)

    def _start_events(self) -> None:
        self._events = sse.Decoder(self._inbound.served.source.bounds.maximum_response_bytes)
        finals.note_session(self._inbound, self._passed.fields)
        if not self._inbound.is_streaming:
            self._inbound.exchange.start(OK, self._passed.headers + self._session())
        self._inbound.exchange.on_drain = self._resume

    def _resume(self) -> None:
        # Not bound earlier: the first event may come before `sending` is set.
        self.sending.resume()

    def _relay(self, event: sse.Event) -> None:
        if self._is_final:
            return
        self._has_id = self._has_id or event.id is not None
        inbound = self._inbound
        if not event.data:
            inbound.exchange.write(event.raw)
            return
        if results.kind_of(event.data) is jsonrpc.Kind.RESPONSE:
            self._relay_answer(event)
            return
        message = jsonrpc.parse(event.data)
        if isinstance(message, jsonrpc.Malformed):
            self._break_off("sent an event that is not JSON-RPC", "malformed")
        elif server_messages.may_pass(inbound.served, inbound.session, message):
            data = meta.without_ours(message)
            inbound.exchange.write(event.raw if data is event.data else event.with_data(data))
        elif message.kind is jsonrpc.Kind.REQUEST:
            server_messages.refuse(inbound.served, inbound.prepared, message)

    def _moves(self) -> bool:
        """Whether the client can fetch the answer on a stream that it resumes by an event id."""
        inbound = self._inbound
        identifier = inbound.asked.message.id
        if not self._has_id or inbound.session is None or identifier is None:
            return False
        inbound.record(Outcome.MOVED)
        inbound.forget_request()
        inbound.session.move(identifier, self._judge_late)
        return True

    def _judge_late(self, body: bytes) -> bytes:
        return finals.judge(self._inbound, body, self._passed.fields).body

    def _relay_answer(self, event: sse.Event) -> None:
        final = finals.judge(self._inbound, event.data, self._passed.fields)
        self._is_final = True
        raw = event.raw if final.body is event.data else event.with_data(final.body)
        self._leave()
        self._inbound.exchange.write(raw)
        # Nothing can follow an answer; what the source still sends is read and thrown away.
        self._inbound.exchange.finish()
        self.sending.resume()
        self._inbound.record(final.outcome, final.detail)

    def _pass_status(self, body: bytes) -> None:
        """A status other than 200, or an answer to what was no request."""
        inbound = self._inbound
        if self._expects_answer() and self._status not in finals.PASSED_STATUSES:
            what = failures.of_status(self._status, inbound.served.source)
            self._break_off(what, str(self._status))
            return
        if self._status == finals.NOT_FOUND and inbound.session is not None:
            inbound.state.sessions.close(inbound.session)
        if inbound.is_streaming and not self._answers(body):
            what = failures.of_status(self._status, inbound.served.source)
            self._break_off(what, str(self._status))
            return
        self._respond(self._status, body)
        inbound.record(Outcome.PROTOCOL_ERROR, str(self._status))

    def _answers(self, body: bytes) -> bool:
        """Whether it can stand on a stream, where its status is lost."""
        identifier = self._inbound.asked.message.id
        return identifier is not None and isinstance(results.check(body, identifier), results.Fit)

    def _break_off(self, what: str, detail: str) -> None:
        """Answer in the source's stead; on a started stream as its last event."""
        inbound = self._inbound
        self._leave()
        message = f"source `{inbound.served.source.name}` {what}"
        status, fields, body = answers.source_failure(inbound.asked, message)
        if self._events is None:
            inbound.respond(status, fields, body)
        else:
            self.sending.abort()
            if self._expects_answer():
                inbound.exchange.write(sse.encode(body))
            inbound.exchange.finish()
        self._is_final = True
        inbound.record(Outcome.FAILED, detail)

    def _leave(self) -> None:
        inbound = self._inbound
        inbound.exchange.on_gone = None
        if inbound.asked.kind is mcp.Kind.LISTEN:
            inbound.state.streams.pop(inbound.exchange, None)

    def _is_answered(self) -> bool:
        return self._is_final

    def _expects_answer(self) -> bool:
        return self._inbound.asked.message.kind is jsonrpc.Kind.REQUEST

    def _respond(self, status: int, body: bytes) -> None:
        self._inbound.respond(status, self._session(), body, self._passed.block)

    def _session(self) -> Headers:
        """The id of the session that this answer opens."""
        if self._inbound.asked.kind is not mcp.Kind.INITIALIZE:
            return []
        return [pair for pair in self._passed.fields if pair[0] == headers.SESSION_ID]
