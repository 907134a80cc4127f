"""What people send in a body: a reason, a grant, a kill; read strictly into values.

Unknown keys are refused, for a misspelt bound would be none; texts are one line that shows as it
is, because they come back in terminals, in audit lines and in answers to agents.
Pure: no clock, no network, no logging.
"""

from dataclasses import dataclass
from typing import Final, TypeVar

from mesh7_sidecar.people import shown
from mesh7_sidecar.wire import jsonrpc

MAXIMUM_BYTES: Final = 16 * 1024
MAXIMUM_REASON: Final = 500
MAXIMUM_TEXT: Final = 4096
LONGEST_S: Final = 366 * 24 * 3600
MOST_USES: Final = 1_000_000_000
MAXIMUM_SHOWN: Final = 60
_Fields = dict[str, object]
_Value = TypeVar("_Value", str, int)


@dataclass(frozen=True, slots=True)
class Wrong:
    """The body cannot be read; `why` says what and what to do."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantWish:
    """A standing permission that somebody wants to give.

    Attributes:
        tool: a glob `<source>.<tool>`.
        seconds: how long.
        uses: how often; None = as often as one likes.
        when: CEL; None = always.
        agent: a service account; None = the gateway's own agent.
        policy: `<namespace>/<policy>` or `<policy>` whose rule is relaxed; None = the one that
            asks for this tool.
    """

    tool: str
    seconds: int
    uses: int | None
    when: str | None
    reason: str
    agent: str | None
    policy: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KillWish:
    """Refuse everything; `agent` None = of everybody."""

    agent: str | None
    reason: str


def read_reason(body: bytes) -> str | Wrong:
    """Of `approve`, `deny` and `kill`: `{"reason": ""}`."""
    try:
        return _line(_fields(body, {"reason"}), "reason", MAXIMUM_REASON) or ""
    except _Mistake as mistake:
        return Wrong(mistake.message)


def read_grant(body: bytes) -> GrantWish | Wrong:
    """Of `grant`."""
    names = {"tool", "forSeconds", "uses", "when", "reason", "agent", "policy"}
    try:
        fields = _fields(body, names)
        return GrantWish(
            tool=_needed(_line(fields, "tool", MAXIMUM_TEXT), "tool"),
            seconds=_needed(_number(fields, "forSeconds", LONGEST_S), "forSeconds"),
            uses=_number(fields, "uses", MOST_USES),
            when=_line(fields, "when", MAXIMUM_TEXT),
            reason=_needed(_line(fields, "reason", MAXIMUM_REASON), "reason"),
            agent=_line(fields, "agent", MAXIMUM_TEXT),
            policy=_line(fields, "policy", MAXIMUM_TEXT),
        )
    except _Mistake as mistake:
        return Wrong(mistake.message)


def read_kill(body: bytes) -> KillWish | Wrong:
    """Of `kill`."""
    try:
        fields = _fields(body, {"agent", "reason"})
        return KillWish(
            agent=_line(fields, "agent", MAXIMUM_TEXT),
            reason=_line(fields, "reason", MAXIMUM_REASON) or "",
        )
    except _Mistake as mistake:
        return Wrong(mistake.message)


class _Mistake(ValueError):  # noqa: N818 - says what it is; never leaves this module
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def _fields(body: bytes, known: set[str]) -> _Fields:
    value = jsonrpc.parse_json(body)
    if isinstance(value, jsonrpc.Malformed):
        raise _Mistake(value.message)
    if not isinstance(value, dict):
        raise _Mistake('the body must be a JSON object such as `{"reason": ""}`')
    for name in value:
        if name not in known:
            allowed = ", ".join(f"`{each}`" for each in sorted(known))
            text = shown.visible(name[:MAXIMUM_SHOWN])
            raise _Mistake(f"unknown field `{text}` in the body, leave it out; known: {allowed}")
    return value


def _line(fields: _Fields, name: str, characters: int) -> str | None:
    """A text of one line; None when it is empty, null or not there."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _Mistake(f"`{name}` must be a text")
    if len(value) > characters:
        raise _Mistake(f"`{name}` is longer than {characters} characters, write less")
    if shown.visible(value) != value:
        message = f"`{name}` holds characters that do not show as themselves, write one plain line"
        raise _Mistake(message)
    return value


def _number(fields: _Fields, name: str, most: int) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise _Mistake(f"`{name}` must be a whole number from 1 to {most}")
    return value


def _needed(value: _Value | None, name: str) -> _Value:
    if value is None:
        raise _Mistake(f"`{name}` is missing, give it")
    return value
