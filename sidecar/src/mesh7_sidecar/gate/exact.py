"""The exact call: everything of it that is forwarded, in one spelling, and the digest over it.

An approval is for one digest. Taken in are who asks, the tool and where it is, all that is
forwarded, the tool's definition, and the compiled form of each rule that asks; so anything that is
changed asks again, and an edit elsewhere in the policies voids nothing. `_meta`, ids and progress
tokens stay outside: some clients put a new id there each time.
Pure: no clock, no network, no logging.
"""

import codecs
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mesh7_core.policy import calls, canonical, exact
from mesh7_core.policy.view import AgentView
from mesh7_core.policy.voices import Voice

MOST_AT_ONCE_BYTES: Final = 64 * 1024
"""Of a body that is spelled at once; larger ones are by a thread, so that other calls go on."""
LONGEST_SHOWN_BYTES: Final = 16 * 1024
"""Of a plain HTTP body that people are shown as text; of a longer one they see head and tail."""
HEAD_BYTES: Final = 8 * 1024
TAIL_BYTES: Final = 2 * 1024

_LONGEST_CHARACTER: Final = 4
_RUN: Final = 0x80
"""First two bits of a byte of UTF-8 that begins no character."""
_TEXTS: Final = 4
"""What a body is kept as: itself, its texts as parsed (wide characters count), its spelling."""
_VALUE_BYTES: Final = 64
"""Of an empty list or object, which are the largest for their spelling."""
_SMALLEST: Final = 4096
"""Of a call with nothing in it."""
_OUTSIDE: Final = frozenset({"_meta"})
_NAMED: Final = frozenset({"_meta", "name"})
"""Of tools and prompts: what is called by this name is the tool that the digest is for."""
_RETRY: Final = frozenset({"requestState", "inputResponses"})
"""What a client adds when it repeats a call that came back with `input_required`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """What goes on to the source.

    Attributes:
        text: canonical JSON, numbers as they were spelled: the arguments when nothing else is
            forwarded, else all `params`; or the parts of an HTTP request.
        mark: which of these it is, and a digest of `text`.
        base: `mark` without what a retry adds; equal to it when this is none.
        request_state: of a retry; empty when this is none.
    """

    text: str
    mark: str
    base: str
    request_state: str = ""


UNSPELLED: Final = Forwarded(text="", mark="", base="")
"""Stands for what has not been worked out yet; no call comes to it."""


def forwarded(call: calls.Call) -> Forwarded:
    """What `call` forwards.

    Raises:
        ValueError: its body is no JSON-RPC message, although the doors say so.
    """
    if call.http is not None:
        text = canonical.written(_http(call.http, call.body))
        mark = exact.mark_of("http", text)
        return Forwarded(text=text, mark=mark, base=mark)
    outside = _OUTSIDE if call.family is calls.Family.RESOURCES else _NAMED
    params = {name: value for name, value in _params(call.body).items() if name not in outside}
    form, text = _spelled(params)
    mark = base = exact.mark_of(form, text)
    if not _RETRY.isdisjoint(params):
        base = exact.mark_of(
            *_spelled({name: params[name] for name in params if name not in _RETRY})
        )
    state = params.get("requestState")
    return Forwarded(
        text=text, mark=mark, base=base, request_state=state if isinstance(state, str) else ""
    )


def weight(call: calls.Call) -> int:
    """Bytes that a call takes while it waits, at most: body, spelling and what is parsed of it."""
    body = call.body
    if call.http is not None:
        return len(body) + _SMALLEST
    marks = len(body) - len(body.translate(None, b",[{:"))
    # No JSON has more of them outside of its texts: `[],[],[]`.
    values = min(marks, len(body) * 2 // 3)
    return len(body) * _TEXTS + values * _VALUE_BYTES + _SMALLEST


def message(arguments: Mapping[str, object]) -> bytes:
    """A body for a call that is only asked about, of which nothing but arguments is known."""
    return json.dumps({"params": {"arguments": arguments}}).encode()


def exact_call(call: calls.Call, mark: str, definition: str, salt: str) -> exact.ExactCall:
    """What the digest of a call is over, beside the rules that ask.

    Args:
        call: who asks, and for which tool.
        mark: of what is forwarded (`Forwarded.mark` or `base`).
        definition: digest of the tool's definition; empty when it has none.
        salt: this gateway's (`terms.HoldTerms.salt`).
    """
    agent = call.agent
    return exact.ExactCall(
        namespace=agent.namespace,
        service_account=agent.service_account,
        pod=agent.pod,
        uid=agent.uid,
        family=call.family.value,
        tool=call.full_name,
        source_kind=call.source_kind.value,
        source_host=call.source_host,
        source=call.source_digest,
        mark=mark,
        definition=definition,
        salt=salt,
    )


def digest(call: calls.Call, mark: str, definition: str, asking: Iterable[str], salt: str) -> str:
    """`sha256:` and 64 hex digits over one exact call (`policy.exact`)."""
    return exact.digest(exact_call(call, mark, definition, salt), asking)


def asked_rules(view: AgentView, asked: Sequence[Voice]) -> tuple[str, ...]:
    """The compiled form of each rule that asks, written out; the same after any restart."""
    return exact.asked_rules(view.policies, asked)


def _params(body: bytes) -> dict[str, object]:
    read = canonical.read(body)
    params = read.get("params") if isinstance(read, dict) else None
    if not isinstance(params, dict):
        raise ValueError("a call without params has no exact form")  # noqa: TRY004
    return params


def _spelled(params: dict[str, object]) -> tuple[str, str]:
    """Arguments alone are shown as they are; people know them so."""
    if set(params) <= {"arguments"}:
        return "arguments", canonical.written(params.get("arguments", {}))
    return "params", canonical.written(params)


def _http(part: calls.HttpPart, body: bytes) -> dict[str, object]:
    said: dict[str, object] = {
        "method": part.method,
        "path": part.path,
        "query": part.query,
        "bodySize": len(body),
        "bodyDigest": "sha256:" + hashlib.sha256(body).hexdigest(),
    }
    if part.headers:
        # A list: a header may come twice.
        said["headers"] = [list(pair) for pair in part.headers]
    return said | _seen(body)


def _seen(body: bytes) -> dict[str, str]:
    """As much of a body as people can read; `ledger.showing` says what they cannot."""
    try:
        if 0 < len(body) <= LONGEST_SHOWN_BYTES:
            return {"body": body.decode()}
        if body:
            head = codecs.getincrementaldecoder("utf-8")().decode(body[:HEAD_BYTES])
            return {"bodyHead": head, "bodyTail": _tail(body[-TAIL_BYTES:])}
    except UnicodeDecodeError:
        pass
    return {}


def _tail(part: bytes) -> str:
    """Its text from the first character on that is whole."""
    begin = next(
        (at for at, byte in enumerate(part[:_LONGEST_CHARACTER]) if byte & 0xC0 != _RUN), 0
    )
    return part[begin:].decode()
