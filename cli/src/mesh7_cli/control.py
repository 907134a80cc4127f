"""What people ask of a running gateway: held requests, decisions, standing grants, the stop.

Ids and names are whole: what is not one, letter by letter, is asked of nobody.
"""

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence

import click

from mesh7_cli import exits, gateway, neutral, reading

REQUESTS = "/control/requests"
GRANTS = "/control/grants"
KILL = "/control/kill"
WATCH = "/control/watch"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
SHOWN_ID = 60
NEAR = 3


def whole(ids: Sequence[str]) -> Sequence[str]:
    """The ids that a person named, or a complaint when one is empty; nothing was asked yet."""
    if not all(one.strip() for one in ids):
        message = "an id is empty – give whole ids, as `mesh7 requests` shows them"
        raise click.UsageError(message, ctx=click.get_current_context(silent=True))
    return list(dict.fromkeys(ids))


def requests(running: gateway.Gateway, state: str) -> list[dict[str, object]]:
    """The requests that are `open`, or `all` that are remembered; oldest first."""
    return reading.objects(running.ask("GET", f"{REQUESTS}?state={state}"), "requests")


def request(running: gateway.Gateway, identifier: str) -> dict[str, object]:
    """One request.

    Raises:
        UnknownError: there is none by this whole id; the message names near ones.
    """
    return _one(running, "GET", identifier, "", None)


def decide(running: gateway.Gateway, verb: str, identifier: str, reason: str) -> dict[str, object]:
    """Say `approve` or `deny` to one request; the request after it.

    Raises:
        RefusedError, UnknownError, LedgerError, GatewayError: it was not done.
    """
    return _one(running, "POST", identifier, f"/{verb}", {"reason": reason})


def grants(running: gateway.Gateway) -> list[dict[str, object]]:
    """All standing grants and vetoes."""
    return reading.objects(running.ask("GET", GRANTS), "grants")


def grant(running: gateway.Gateway, wish: Mapping[str, object]) -> dict[str, object]:
    """Make a standing grant; what it became."""
    return running.ask("POST", GRANTS, wish)


def kill(running: gateway.Gateway, agent: str | None, reason: str) -> dict[str, object]:
    """Refuse every call of `agent`, None = of everybody; the veto that does it."""
    return running.ask("POST", KILL, {"agent": agent, "reason": reason})


def revoke(running: gateway.Gateway, name: str) -> dict[str, object]:
    """End one standing grant or veto; what it was.

    Raises:
        UnknownError: there is none by this whole name; the message names near ones.
    """
    return _found(
        "grant",
        name,
        lambda: running.ask("DELETE", f"{GRANTS}/{name}"),
        lambda: [reading.text(one, "name") for one in grants(running)],
    )


def _one(
    running: gateway.Gateway,
    method: str,
    identifier: str,
    rest: str,
    body: Mapping[str, object] | None,
) -> dict[str, object]:
    return _found(
        "request",
        identifier,
        lambda: running.ask(method, f"{REQUESTS}/{identifier}{rest}", body),
        lambda: [reading.text(one, "id") for one in requests(running, "open")],
    )


def _found(
    kind: str,
    given: str,
    ask: Callable[[], dict[str, object]],
    known: Callable[[], Sequence[str]],
) -> dict[str, object]:
    if _ID.fullmatch(given):
        with contextlib.suppress(exits.UnknownError):
            return ask()
    shown = neutral.line(given if len(given) <= SHOWN_ID else f"{given[:SHOWN_ID]}…")
    message = f"there is no {kind} `{shown}`{_hint(given, known(), f'mesh7 {kind}s')}"
    raise exits.UnknownError(message)


def _hint(given: str, known: Sequence[str], command: str) -> str:
    """Near ids to copy; what a person meant is never guessed and acted upon."""
    import difflib  # noqa: PLC0415 - only for complaints

    short = given[:SHOWN_ID]
    begun = [one for one in known if short and one.startswith(short)]
    near = begun or difflib.get_close_matches(short, known, NEAR)
    if not near:
        return f" – `{command}` lists what there is"
    named = " or ".join(f"`{neutral.line(one)}`" for one in near[:NEAR])
    return f" – did you mean {named}? Whole ids only"
