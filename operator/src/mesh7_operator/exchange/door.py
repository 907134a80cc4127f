"""The exchange's door: HTTP in, HTTP out (docs/reference/exchange-api.md)."""

import json
from collections.abc import Callable
from typing import Final

from aiohttp import web

from mesh7_core.telemetry import conventions, operator_spans
from mesh7_core.telemetry.spans import Kind, Value
from mesh7_operator import tracing
from mesh7_operator.accepting import Bounds
from mesh7_operator.exchange.handing import Handed
from mesh7_operator.exchange.measuring import ExchangeMetrics
from mesh7_operator.exchange.service import Denied, Service
from mesh7_operator.tracing import Tracer

PATH: Final = "/v1/redis-credentials"
BOUNDS: Final = Bounds(connections=400, of_address=16, life_s=15.0)
"""A pod needs one connection for one question; whoever holds many holds them for 15 seconds."""
_MOST_BYTES: Final = 1024
_BEARER: Final = "bearer "
_UNAUTHENTICATED: Final = 401
_OK: Final = 200
_FIRST_FAILURE: Final = 500


def application(
    service: Service,
    metrics: ExchangeMetrics,
    monotonic_s: Callable[[], float],
    tracer: Tracer = tracing.OFF,
) -> web.Application:
    """What answers at the exchange's address."""

    async def answer(request: web.Request) -> web.Response:
        started_s = monotonic_s()
        if request.content_length or "Transfer-Encoding" in request.headers:
            return _problem(400, "unexpected-body", "send no body; the token is all that is needed")
        begun = tracer.begin(request.headers)
        found = await service.exchange(_token_of(request), request.remote or "")
        metrics.seconds.observe(monotonic_s() - started_s)
        status = found.status if isinstance(found, Denied) else _OK
        error = str(status) if status >= _FIRST_FAILURE else None
        attributes: dict[str, Value] = {operator_spans.STATUS: status}
        attributes |= {conventions.ERROR: error} if error else {}
        tracer.end(begun, operator_spans.EXCHANGE, Kind.SERVER, attributes, error)
        return _refusal(found) if isinstance(found, Denied) else _credentials(found)

    app = web.Application(client_max_size=_MOST_BYTES)
    app.router.add_post(PATH, answer)
    return app


def _token_of(request: web.Request) -> str:
    """The bearer token; empty when there is none, or more than one."""
    found = request.headers.getall("Authorization", [])
    if len(found) != 1 or not found[0].lower().startswith(_BEARER):
        return ""
    return found[0][len(_BEARER) :].strip()


def _credentials(handed: Handed) -> web.Response:
    return web.json_response(handed.document(), headers={"Cache-Control": "no-store"})


def _refusal(denied: Denied) -> web.Response:
    answer = _problem(denied.status, denied.refused.refusal.value, denied.refused.detail)
    if denied.retry_after_s:
        answer.headers["Retry-After"] = str(denied.retry_after_s)
    if denied.status == _UNAUTHENTICATED:
        answer.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    return answer


def _problem(status: int, reason: str, detail: str) -> web.Response:
    body = {"type": "about:blank", "status": status, "detail": detail, "reason": reason}
    return web.Response(
        status=status,
        body=json.dumps(body).encode(),
        content_type="application/problem+json",
        headers={"Cache-Control": "no-store"},
    )
