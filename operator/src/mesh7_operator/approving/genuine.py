"""Whether a request in Redis is what it claims; what it says of the rules is never believed.

Rungs, the first that fails is told: its id; its namespace and pod; where its call goes; that each
rule asks; its times; that it waits now; its digest, worked out anew; its arguments.
Whoever has the namespace's credentials can write one. Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Sequence
from typing import Final

from mesh7_core.delivery import decisions
from mesh7_core.ledger import shortening
from mesh7_core.ledger.asked import MOST_ASKING, Request
from mesh7_core.ledger.asking import Asked, asked_of
from mesh7_core.policy import exact
from mesh7_core.policy.destination import Destination
from mesh7_operator.approving import moments
from mesh7_operator.approving.ground import Ground
from mesh7_operator.approving.rulebook import Rulebook

_LONGEST_TOOL: Final = 281
_LONGEST_NAME: Final = 253
_DIGEST: Final = re.compile(r"(sha256:[0-9a-f]{64})?")


def asked(rules: Sequence[str], book: Rulebook) -> Asked | None:
    """What these rules ask for; None = one of them is not there, or does not ask any more."""
    voices = book.voices(rules)
    return None if voices is None else asked_of(voices)


def doubt(request: Request, ground: Ground, book: Rulebook) -> str:
    """Why it cannot be what a sidecar asks of people now; empty = it can."""
    if reason := _stranger(request, ground):
        return reason
    source = ground.source_of(request.tool)
    if source is None or _goes_elsewhere(request, source):
        return "its source is not what ToolSource says"
    rules = [one.rule for one in request.asking]
    voices = book.voices(rules) if len(set(rules)) == len(rules) <= MOST_ASKING else None
    if not voices:
        return "a rule that it names is not there or does not ask"
    meant = asked_of(voices)
    times = (request.timeout_ms, request.use_within_ms)
    if times != (meant.timeout_ms, meant.use_within_ms):
        return "its times are not those of the rules that ask"
    if not _is_now(request, ground.store_ms):
        return "it was opened in the future, or its time is over"
    if _digest(request, source, book.written(voices)) != request.digest:
        return "its digest is not that of the call that it shows"
    return _hidden(request)


def _stranger(request: Request, ground: Ground) -> str:
    namespace, _, account = request.agent.partition("/")
    if not decisions.REQUEST_ID.fullmatch(request.id):
        return "its id is none"
    if namespace != ground.namespace:
        return "its agent is of another namespace"
    if ground.pods is None or ground.pods.get(request.pod, "") != request.uid or not request.uid:
        return "its pod is not there"
    sizes = ((request.tool, _LONGEST_TOOL), (account, _LONGEST_NAME))
    if any(not 0 < len(text) <= most or not text.isprintable() for text, most in sizes):
        return "its tool or its account has no name that can be shown"
    return "" if _DIGEST.fullmatch(request.definition) else "its definition is no digest"


def _goes_elsewhere(request: Request, source: Destination) -> bool:
    asked = (request.source_kind, request.source_host, request.source)
    return asked != (source.kind, source.host, source.digest)


def _is_now(request: Request, store_ms: int) -> bool:
    opened_at_ms = request.opened_at_ms
    return 0 < opened_at_ms <= store_ms < opened_at_ms + request.timeout_ms <= moments.LAST_MS


def _hidden(request: Request) -> str:
    """Cut arguments are not what the mark is of: people have to say that they know."""
    if request.cut_from_bytes:
        is_long = shortening.LONGEST_BYTES < request.cut_from_bytes < moments.LAST_MS
        return "" if is_long else "its arguments are not so long that they had to be cut"
    try:
        is_shown = exact.is_marked(request.mark, request.arguments)
    except UnicodeEncodeError:
        is_shown = False
    return "" if is_shown else "the arguments that it shows are not those of its digest"


def _digest(request: Request, source: Destination, asking: Sequence[str]) -> str:
    namespace, _, account = request.agent.partition("/")
    call = exact.ExactCall(
        namespace=namespace,
        service_account=account,
        pod=request.pod,
        uid=request.uid,
        family=request.family,
        tool=request.tool,
        source_kind=source.kind,
        source_host=source.host,
        source=source.digest,
        mark=request.mark,
        definition=request.definition,
        salt=request.salt,
    )
    return exact.digest(call, asking)
