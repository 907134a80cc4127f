"""Which key of a Redis holds what of a namespace, and what the functions of our library answer.

All keys of a namespace share one hash tag, so a Redis Cluster keeps them on one node, and an ACL
user is held to a namespace by `~m7:{<namespace>}:*`. What the operator delivers lies beside, under
`m7b:{<namespace>}:`, where such a user may only read, and the audit under `m7a:{<namespace>}:`,
where it may only append to one list. What is read back was possibly written by
somebody else: whatever is not exactly what we write reads as None.
Pure: no clock, no network, no logging.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from mesh7_core.delivery import envelopes
from mesh7_core.ledger import approvals, resp
from mesh7_core.ledger.protocol import (
    OBSERVED_ADMITTED,
    Observation,
    Observed,
    Seen,
    Standing,
    Window,
)
from mesh7_core.ledger.requests import kept_until

DONE: Final = 0
OTHERWISE: Final = 1
LATE: Final = 2
FULL: Final = 3

ADMITTED: Final = 7
LONGEST_TEXT: Final = 128 * 1024
"""Bytes of a request without its arguments; a longer one is none."""
LONGEST_NEW_TEXT: Final = LONGEST_TEXT // 2
"""Of one that is opened; there has to be room for what people say."""
_SEEN: Final = {
    1: Seen.DENIED,
    2: Seen.SPENT,
    3: Seen.REPEATED,
    4: Seen.GRANTED,
    5: Seen.APPROVED,
    6: Seen.PENDING,
    ADMITTED: Seen.ADMITTED,
}
_STATES: Final = {
    approvals.State.PENDING: "P",
    approvals.State.APPROVED: "A",
    approvals.State.DENIED: "D",
}

Word = bytes | str | int


class Layout:
    """The keys of one namespace.

    Attributes:
        channel: where changes are published: the id of a request, or nothing.
        delivered: where the version of what was delivered is published.
        of_reports: what sidecars report, and when they did.
        of_arguments: how much of requests' arguments is kept.
        pending: ids of the requests that wait, by until when.
        audit_inbox: a list, to which the namespace's users may append and do nothing else: neither
            read nor trim (`audit_entries.written`).
        audit: a stream, to which the operator moves what lies in that list; no user of the
            namespace has any right to it.
    """

    def __init__(self, namespace: str) -> None:
        prefix = f"m7:{{{namespace}}}:"
        self.channel = f"{prefix}changed"
        self.epoch = f"{prefix}epoch"
        self.requests = f"{prefix}requests"
        self.standing = f"{prefix}standing"
        self.pending = f"{prefix}pending"
        self.of_arguments = (f"{prefix}sizes", f"{prefix}bytes")
        self.of_reports = (f"{prefix}reports", f"{prefix}seen")
        self._deliveries = f"m7b:{{{namespace}}}:"
        self.delivered = f"{self._deliveries}delivered"
        self.audit_inbox = f"m7a:{{{namespace}}}:inbox"
        self.audit = f"m7a:{{{namespace}}}:audit"
        self._prefix = prefix
        self._cells = f"{prefix}w:"
        self._leases = f"{prefix}l:"
        self._repeats = f"{prefix}r:"
        self._grants = f"{prefix}g:"
        self._digests = f"{prefix}d:"

    def request(self, request_id: str) -> str:
        """Where one request is."""
        return f"{self._prefix}q:{request_id}"

    def delivery(self, kind: envelopes.Kind) -> str:
        """Where what is delivered lies; the namespace's users may only read there."""
        return self._deliveries + kind.value

    def decision(self, request_id: str) -> str:
        """Where the signed decision about a request lies, as a text (`delivery.decisions`).

        The operator writes it before it exchanges the request, and lets it stay as long as that
        does (`requests.kept_until`), beyond its own `until_ms`. Users of the namespace may only
        read it.
        """
        return f"{self._deliveries}v:{request_id}"

    def grant(self, key: str) -> str:
        """Where the uses of one grant are counted."""
        return self._grants + key

    def of_request(self, request: approvals.Request) -> list[str]:
        """The keys that change with a request, in the order of the functions."""
        return [
            self._digests + request.digest,
            self.request(request.id),
            self.requests,
            self.pending,
            f"{self.pending}:{request.pod}",
            *self.of_arguments,
        ]

    def of_windows(self, windows: Sequence[Window]) -> list[str]:
        """Cells and leases of each."""
        return [key for one in windows for key in (self._cells + one.key, self._leases + one.key)]

    def observe(self, observation: Observation, known: str) -> tuple[list[str], list[Word]]:
        """Keys and arguments of an observation; made for every guarded call."""
        windows, repeats, digest = observation.windows, observation.repeats, observation.digest
        keys = [self.epoch]
        if digest:
            keys.append(self._digests + digest)
        arguments: list[Word] = [
            known, 1 if observation.is_dry else 0, digest, observation.lease_ms,
            len(windows), len(repeats), len(observation.uses), "",
        ]  # fmt: skip
        strict = ""
        for one in windows:
            strict += "1" if one.needs_past else "0"
            keys += (self._cells + one.key, self._leases + one.key)
            arguments += (one.maximum, one.window_ms, one.idle_ms)
        arguments[7] = strict
        for one in repeats:
            keys.append(self._repeats + one.key)
            arguments += (one.maximum, one.window_ms, one.idle_ms)
        if observation.uses:
            self._add_uses(observation, keys, arguments)
        return keys, arguments

    def _add_uses(self, observation: Observation, keys: list[str], arguments: list[Word]) -> None:
        places = {key: place for place, key in enumerate(grants_of(observation), 1)}
        keys += [self._grants + key for key in places]
        for several in observation.uses:
            arguments.append(len(several))
            for use in several:
                arguments += (places[use.key], use.maximum, use.expires_at_ms)


def grants_of(observation: Observation) -> list[str]:
    """The grants of an observation, each once."""
    return list(dict.fromkeys(use.key for several in observation.uses for use in several))


def sizes_of(windows: Sequence[Window]) -> list[Word]:
    """Maximum, span and idle time of each."""
    return [size for one in windows for size in (one.maximum, one.window_ms, one.idle_ms)]


def standing_of(request: approvals.Request) -> list[Word]:
    """What its digest is answered by, until when, and until when it is kept."""
    return [
        _STATES.get(request.state, "-"),
        approvals.ends_at(request),
        kept_until(request),
    ]


def read_observed(reply: resp.Reply, observation: Observation) -> tuple[Observed, str] | None:
    """What was observed, and what is to be known of the store from now on (empty: as before)."""
    match reply:
        case int(code) if code == ADMITTED:
            return OBSERVED_ADMITTED, ""
        case [
            int(code), int(index), int(wait_ms), bytes(found), bytes(unknown), bytes(granted),
            bytes(learned),
        ] if code in _SEEN:  # fmt: skip
            grants = grants_of(observation) if granted else []
            observed = Observed(
                _SEEN[code],
                index=index,
                retry_after_ms=wait_ms,
                request_id=found.decode("utf-8", "replace"),
                unknown=tuple(int(one) for one in unknown.split()),
                granted=tuple(grants[int(one)] for one in granted.split()),
            )
            return observed, learned.decode("ascii", "replace")
        case _:
            return None


def write_request(request: approvals.Request) -> bytes:
    """What changes of a request; its arguments never do and are written once, beside it."""
    return approvals.encode(replace(request, arguments=""))


def too_long(request: approvals.Request) -> str:
    """Why it is not opened; empty = it is short enough."""
    size = len(write_request(request))
    if size <= LONGEST_NEW_TEXT:
        return ""
    return (
        f"people are not asked about a call of `{request.tool}`: its rules come to {size} bytes, "
        f"and {LONGEST_NEW_TEXT} is the most; have fewer rules ask about it, or give them shorter "
        "texts and fewer groups"
    )


def write_arguments(request: approvals.Request) -> bytes:
    """The arguments of a request."""
    return request.arguments.encode("utf-8", "surrogatepass")


def read_request(
    written: resp.Reply, arguments: resp.Reply, request_id: str
) -> approvals.Request | None:
    """The request that is kept under an id; None when what is kept there is not it."""
    if not isinstance(written, bytes) or len(written) > LONGEST_TEXT:
        return None
    request = approvals.decode(written)
    if request is None or request.id != request_id or request.arguments:
        return None
    try:
        text = arguments.decode("utf-8", "surrogatepass") if isinstance(arguments, bytes) else ""
    except UnicodeDecodeError:
        return None
    return replace(request, arguments=text)


def write_standing(document: str, by: str) -> str:
    """The part of a standing grant that its maker knows; the store adds the time."""
    return json.dumps({"by": by, "document": document}, ensure_ascii=True)


def read_standing(name: str, written: resp.Reply) -> Standing | None:
    """A standing grant as it is kept."""
    if not isinstance(written, bytes):
        return None
    made, _, text = written.partition(b" ")
    try:
        item = json.loads(text)
    except (ValueError, RecursionError):
        return None
    match item:
        case {"by": str(by), "document": str(document)} if made.isdigit() and len(made) < 16:  # noqa: PLR2004
            return Standing(name=name, document=document, made_at_ms=int(made), by=by)
        case _:
            return None
