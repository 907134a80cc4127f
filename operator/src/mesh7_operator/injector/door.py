"""The injector's door: AdmissionReviews in, verdicts out (docs/administrator/admission.md).

    1  is there a place?          503   at once, so that the API server need not wait
    2  is it small enough?        413   in bytes, and in what it would be parsed into
    3  is it a question of ours?  400
    4  what the API server knows  a refusal when it cannot be read in two seconds
    5  the verdict                a refusal when it takes too long

The verdict on our kinds is the compiler's, that on pods is injection's (`injecting`).
Nothing of an object, and no group of a user, is ever logged.
"""

import functools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from mesh7_core import awake, errors, names
from mesh7_core.telemetry import conventions, operator_spans
from mesh7_core.telemetry.spans import Kind, Value
from mesh7_operator import tracing
from mesh7_operator.cluster import shapes
from mesh7_operator.injector import injecting, judging, places, reviews, stamping
from mesh7_operator.injector.asking import Asking
from mesh7_operator.injector.measuring import InjectorMetrics
from mesh7_operator.injector.places import Places
from mesh7_operator.injector.reviews import About, Malformed, Review, Verdict
from mesh7_operator.injector.stamp_key import StampKey
from mesh7_operator.injector.turns import Turns
from mesh7_operator.tracing import Begun, Tracer

INJECT: Final = "/inject"
VALIDATE: Final = "/validate"
MUTATE: Final = "/mutate"
MOST_BYTES: Final = 7 * 1024 * 1024
"""Two objects of the three megabytes that the API server takes, and what it says around them."""
READING_S: Final = 4.0
JUDGING_S: Final = 4.0
_LOG: Final = logging.getLogger(__name__)
_UNKNOWN: Final = "unknown"
Decide = Callable[[Review], Awaitable[Verdict]]
_Answer = tuple[web.StreamResponse, str, str]
"""With it, for whoever counts: kind and outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the door works with.

    Attributes:
        turns: where is compiled; the event loop goes on answering probes.
        is_ending: asked with each answer; connections are closed with it then, so that the API
            server goes elsewhere.
        pods: what the door for new pods works with.
        tracer: each admission is a span.
    """

    asking: Asking
    stamp_key: StampKey
    release_namespace: str
    turns: Turns
    metrics: InjectorMetrics
    monotonic_s: Callable[[], float]
    is_ending: Callable[[], bool]
    pods: injecting.Parts
    places: Places = field(default_factory=Places)
    judging_s: float = JUDGING_S
    tracer: Tracer = tracing.OFF


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """One path.

    Attributes:
        name: for logs and metrics.
    """

    name: str
    about: About
    decide: Decide
    places: Places


def application(parts: Parts) -> web.Application:
    """What answers at the injector's address."""
    app = web.Application(client_max_size=MOST_BYTES)
    ours, free = reviews.OURS, parts.places
    pods = injecting.Injecting(parts.pods)
    ways = {
        VALIDATE: _Way(name="validate", about=ours, decide=_Validating(parts).verdict, places=free),
        MUTATE: _Way(name="mutate", about=ours, decide=_Mutating(parts).verdict, places=free),
        INJECT: _Way(
            name="inject", about=reviews.NEW_PODS, decide=pods.verdict, places=parts.pods.places
        ),
    }
    for path, way in ways.items():
        app.router.add_post(path, _answering(parts, way))
    return app


def _answering(parts: Parts, way: _Way) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        started_s = parts.monotonic_s()
        size = MOST_BYTES if request.content_length is None else request.content_length
        kind, outcome, status = _UNKNOWN, "crashed", 500
        begun = parts.tracer.begin(request.headers)
        try:
            with way.places.place(min(size, MOST_BYTES)) as is_taken:
                if is_taken:
                    response, kind, outcome = await _reviewed(request, way, size)
                else:
                    response, kind, outcome = _overloaded()
            status = response.status
        finally:
            parts.metrics.admissions.labels(way.name, kind, outcome).inc()
            parts.metrics.seconds.labels(way.name).observe(parts.monotonic_s() - started_s)
            _tell(parts.tracer, begun, way.name, (kind, outcome, status))
        if parts.is_ending():
            response.force_close()
        return response

    return answer


def _tell(tracer: Tracer, begun: Begun | None, door: str, answered: tuple[str, str, int]) -> None:
    kind, outcome, status = answered
    # A refusal is what the injector is there for.
    error = None if outcome in {"allowed", "refused"} else outcome
    attributes: dict[str, Value] = {
        operator_spans.DOOR: door,
        operator_spans.OBJECT: kind,
        operator_spans.OUTCOME: outcome,
        operator_spans.STATUS: status,
    }
    attributes |= {conventions.ERROR: error} if error else {}
    tracer.end(begun, f"{operator_spans.ADMISSION} {door}", Kind.SERVER, attributes, error)


async def _reviewed(request: web.Request, way: _Way, size: int) -> _Answer:
    try:
        async with awake.timeout(READING_S):
            body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return _too_large(f"the review has more than {MOST_BYTES} bytes")
    except TimeoutError:
        return _plain(408, "the review did not come in time"), _UNKNOWN, "malformed"
    weight = places.weight(body)
    if weight > MOST_BYTES:
        return _too_large("the review has too many objects and lists in it")
    with way.places.room(max(0, weight - size)) as is_taken:
        return await _judged(body, way) if is_taken else _overloaded()


async def _judged(body: bytes, way: _Way) -> _Answer:
    review = reviews.read(body, way.about)
    if isinstance(review, Malformed):
        return _plain(400, review.message), _UNKNOWN, "malformed"
    try:
        verdict = await way.decide(review)
    except errors.ClusterError as error:
        _LOG.warning(
            "an admission cannot be judged",
            extra={"door": way.name, "kind": review.kind, "namespace": review.namespace,
                   "error": error.message},
        )  # fmt: skip
        verdict = reviews.unavailable(f"cannot be judged now, so it is refused: {error.message}")
    return web.json_response(reviews.written(review, verdict)), review.kind, _outcome(verdict)


def _overloaded() -> _Answer:
    return _plain(503, "too many admissions at once; try again"), _UNKNOWN, "overloaded"


def _too_large(said: str) -> _Answer:
    return _plain(413, said), _UNKNOWN, "too-large"


class _Validating:
    """Refuses what the compiler refuses."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def verdict(self, review: Review) -> Verdict:
        parts = self._parts
        policy = None
        if not judging.is_unchanged(review):
            policy = await _policy(parts, review)
        judge = functools.partial(judging.judge, review, parts.release_namespace, policy)
        return await parts.turns.run(review.namespace, judge, parts.judging_s)


class _Mutating:
    """Says who made a Grant, and stamps what they may decide."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def verdict(self, review: Review) -> Verdict:
        if review.kind != names.GRANT or review.before is not None:
            return reviews.Allowed()
        if not judging.is_decision(review):
            return stamping.stamp(review, None, None)
        parts = self._parts
        namespace = stamping.account_namespace(review)
        if namespace and await parts.asking.is_guarded(namespace):
            return stamping.refuse_account(review)
        ref = judging.policy_of(review, parts.release_namespace)
        if ref is None:
            return stamping.without_policy(review, parts.release_namespace)
        # As the admission policy does; where that was deleted, a stamp still means as much.
        if not await parts.asking.may_approve(review.maker, ref):
            return stamping.refuse_maker(review, ref)
        key = parts.stamp_key.key
        if key is None:
            return reviews.unavailable("there is no stamp key yet; the injector's log says why")
        return stamping.stamp(review, await parts.asking.policy(ref), key)


async def _policy(parts: Parts, review: Review) -> shapes.Object | None:
    ref = judging.policy_of(review, parts.release_namespace)
    return None if ref is None else await parts.asking.policy(ref)


def _outcome(verdict: Verdict) -> str:
    if isinstance(verdict, reviews.Allowed):
        return "allowed"
    return "unavailable" if verdict.code == 503 else "refused"  # noqa: PLR2004 - HTTP's


def _plain(status: int, message: str) -> web.Response:
    return web.Response(status=status, text=message + "\n")
