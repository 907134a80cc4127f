"""The options that say which audit records are meant, alike for a laptop and a cluster."""

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import click

from mesh7_cli import records
from mesh7_core.audit import recorded
from mesh7_core.audit.wanted import Wanted
from mesh7_core.policy import globs
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry.records import Outcome

R = TypeVar("R")

DEFAULT_LIMIT: Final = 50
_DAYS: Final = re.compile(r"([1-9][0-9]{0,4})d")
_MICROSECONDS: Final = 1_000_000
_TRACE: Final = re.compile("[0-9a-f]{32}")
_REQUEST: Final = re.compile("r-[a-z0-9]{26}")
_NAMES: Final = (
    "agent", "pod", "tool", "decision", "reason", "outcome", "rule", "is_deed", "trace", "request",
    "since_us", "until_us",
)  # fmt: skip


def wish(command: Callable[..., R]) -> Callable[..., R]:
    """All of them; the command is given one `wish`."""

    @functools.wraps(command)
    def with_wish(**given: object) -> R:
        # None and empty ask nothing.
        asked = {name: given.pop(name) for name in _NAMES}
        wanted = Wanted(**{name: value for name, value in asked.items() if value})  # type: ignore[arg-type]
        limit, cursor = given.pop("limit"), given.pop("cursor")
        whole = records.Wish(wanted=wanted, limit=limit, cursor=cursor)  # type: ignore[arg-type]
        return command(wish=whole, **given)

    for option in reversed(_OPTIONS):
        with_wish = option(with_wish)
    return with_wish


def _when(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Microseconds since 1970 of a time, or of a span before now."""
    if not text:
        return None
    found = recorded.moment(text)
    if found is not None:
        return found
    from mesh7_core.api import quantities  # noqa: PLC0415 - 50 ms that few commands need

    days = _DAYS.fullmatch(text)
    try:
        span = timedelta(days=int(days[1])) if days else quantities.parse_duration(text)
        before = datetime.now(UTC) - span
    except (quantities.BadQuantity, OverflowError) as error:
        message = f"`{text}` is no time, write one such as 2026-11-21T10:00:00Z, or 10m, 2h, 1d ago"
        raise click.BadParameter(message, ctx=context, param=parameter) from error
    return int(before.timestamp() * _MICROSECONDS)


def _trace(context: click.Context, parameter: click.Parameter, text: str) -> str:
    return _whole(context, parameter, text, _TRACE, "a trace has 32 hexadecimal digits")


def _request(context: click.Context, parameter: click.Parameter, text: str) -> str:
    return _whole(context, parameter, text, _REQUEST, "a request has `r-` and 26 letters or digits")


def _whole(
    context: click.Context, parameter: click.Parameter, text: str, such: re.Pattern[str], says: str
) -> str:
    """An id; what is no whole one would be found nowhere, and look like an empty audit."""
    if text and not such.fullmatch(text):
        message = f"`{text}` is no whole id, {says}"
        raise click.BadParameter(message, ctx=context, param=parameter)
    return text


def _glob(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> globs.TextGlob | None:
    if not text:
        return None
    try:
        return globs.TextGlob.parse(text)
    except globs.BadGlob as error:
        raise click.BadParameter(error.message, ctx=context, param=parameter) from error


_OPTIONS: Final = (
    click.option("--agent", metavar="NAME", default="", help="Of this agent: NAME or NS/NAME."),
    click.option("--pod", metavar="NAME", default="", help="Of this pod."),
    click.option(
        "--tool", metavar="GLOB", callback=_glob, help="About tools such as `git.*`."
    ),
    click.option(
        "--decision",
        type=click.Choice(["Allow", "Deny", "Hold"], case_sensitive=False),
        help="Calls that were decided so.",
    ),
    click.option(
        "--reason",
        type=click.Choice([one.value for one in Reason]),
        metavar="REASON",
        help="Calls that were decided for this reason.",
    ),
    click.option(
        "--outcome", type=click.Choice([one.value for one in Outcome]), help="What became of it."
    ),
    click.option(
        "--rule", metavar="ID", default="", help="Calls that this rule spoke about, or its end."
    ),
    click.option("--deeds", "is_deed", is_flag=True, help="Only what people did."),
    click.option("--trace", metavar="ID", default="", callback=_trace, help="Of this trace."),
    click.option(
        "--request", metavar="ID", default="", callback=_request,
        help="About this approval request.",
    ),
    click.option(
        "--since", "since_us", metavar="TIME", callback=_when, help="From TIME on, or `10m` ago."
    ),
    click.option("--until", "until_us", metavar="TIME", callback=_when, help="Before TIME."),
    click.option(
        "--limit",
        type=click.IntRange(1, records.MOST),
        default=DEFAULT_LIMIT,
        show_default=True,
        help="Records of a page.",
    ),
    click.option("--cursor", metavar="CURSOR", default="", help="Older than the page before."),
)  # fmt: skip
