"""One held request as a person reads it before deciding: every line harmless on a terminal.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mesh7_cli import neutral, reading, spans, spelled

PENDING = "pending"
APPROVED = "approved"
FULL_LETTERS = 16 * 1024
"""Longer arguments are shown by head and tail first, so that they push nothing off the screen."""
PART_LETTERS = 2 * 1024
UNSEEN = (
    "not all that is forwarded can be shown: the body is long, is no text, or nothing could be"
    " hidden from it apart"
)
INDENT = "  "
WIDTH = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A request in lines.

    Attributes:
        lines: ready to print.
        is_whole: every letter that the gateway has of the arguments stands there.
    """

    lines: tuple[str, ...]
    is_whole: bool


def whole(request: Mapping[str, object], now: datetime) -> Card:
    """The request with all that the gateway has of its arguments, however long."""
    return Card(lines=_lines(request, now, _arguments(request)), is_whole=True)


def brief(request: Mapping[str, object], now: datetime) -> Card:
    """The request, long arguments by their head and tail."""
    text = _arguments(request)
    if cut_note(request):
        return Card(lines=_lines(request, now, _parted(text)), is_whole=False)
    if len(text) <= FULL_LETTERS:
        return Card(lines=_lines(request, now, text), is_whole=True)
    return Card(lines=_lines(request, now, _parted(text)), is_whole=False)


def cut_note(request: Mapping[str, object]) -> str:
    """That nobody can be shown all that is forwarded; empty when somebody can."""
    size_bytes = reading.number(request, "argumentsCutFrom")
    if not size_bytes:
        return UNSEEN if reading.truth(request, "unseen") else ""
    return (
        f"not all of the arguments can be shown: of {size_bytes:,} bytes only head, tail, size "
        "and digest were kept"
    )


def missing(request: Mapping[str, object]) -> list[str]:
    """What still has to be said for a yes, one text a rule; empty when nothing is missing."""
    found = []
    for rule in reading.objects(request, "rules"):
        count = _missing(rule)
        if count:
            found.append(f"{count} more by {_who(rule)} for `{_text(rule, 'rule')}`")
    return found


def name(request: Mapping[str, object]) -> str:
    """Id, tool and agent."""
    words = (_text(request, key) for key in ("id", "tool", "agent"))
    return "`{}`: {} for {}".format(*words)


def usable_until(request: Mapping[str, object]) -> str:
    """Until when an approved call may run; empty when that is not known."""
    return _text(request, "usableUntil")


def one_line(request: Mapping[str, object], longest: int) -> str:
    """State, id, tool, agent and arguments; these cut after `longest` letters."""
    words = [_text(request, key) for key in ("state", "id", "tool", "agent")]
    arguments = spelled.compact(request.get("arguments"))
    if len(arguments) > longest:
        arguments = f"{arguments[:longest]}… ({len(arguments):,} letters)"
    return f"{words[0]:<9}  {'  '.join(words[1:])}  {arguments}"


def _lines(request: Mapping[str, object], now: datetime, arguments: str) -> tuple[str, ...]:
    return (
        *_facts(request, now),
        "",
        "arguments",
        *((f"{INDENT}! {note}; a yes is for all of it",) if (note := cut_note(request)) else ()),
        *(INDENT + line for line in arguments.split("\n")),
        *_rules(request),
        *_votes(request),
        *_answers(request),
        *_around(request),
    )


def _parted(text: str) -> str:
    """Head and tail of a long text."""
    left_out = len(text) - 2 * PART_LETTERS
    if left_out <= 0:
        return text
    return (
        f"{text[:PART_LETTERS]}\n\n… {left_out:,} of {len(text):,} letters are left out here …\n\n"
        f"{text[-PART_LETTERS:]}"
    )


def _arguments(request: Mapping[str, object]) -> str:
    if request.get("arguments", "") is None:
        return "not kept any more; the digest of the call is"
    return spelled.pretty(request.get("arguments"))


def _facts(request: Mapping[str, object], now: datetime) -> Iterator[str]:
    opened = reading.moment(request, "openedAt")
    expires = reading.moment(request, "expiresAt")
    usable = reading.moment(request, "usableUntil")
    yield _fact("request", _text(request, "id"))
    yield _fact("state", _text(request, "state"))
    yield _fact("tool", _text(request, "tool"))
    if source := _source(request):
        yield _fact("source", source)
    yield _fact("agent", f"{_text(request, 'agent')}, pod {_text(request, 'pod')}")
    if opened is not None:
        yield _fact("asked", f"{_text(request, 'openedAt')} ({spans.since(opened, now)} ago)")
    if expires is not None and _text(request, "state") == PENDING:
        yield _fact("expires", f"{_text(request, 'expiresAt')} ({_left(expires, now)})")
    if usable is not None and _text(request, "state") == APPROVED:
        yield _fact("usable", f"until {_text(request, 'usableUntil')} ({_left(usable, now)})")
    for name, key in (
        ("outcome", "outcome"),
        ("definition", "definition"),
        ("digest", "digest"),
        ("trace", "traceId"),
    ):
        if text := _text(request, key):
            yield _fact(name, text)


def _source(request: Mapping[str, object]) -> str:
    """Where the call goes: `billing (http, api.example/live)`; empty when that is not known."""
    source = reading.one(request, "source")
    name, kind, host, path = (_text(source, key) for key in ("name", "kind", "host", "path"))
    # Of a child process it is its program.
    place = f"{host}{path}" if path.startswith("/") else f"{host} {path}".strip()
    way = ", ".join(part for part in (kind, place) if part)
    return f"{name} ({way})" if name and way else name


def _left(moment: datetime, now: datetime) -> str:
    return f"in {spans.until(moment, now)}" if moment > now else "over"


def _rules(request: Mapping[str, object]) -> Iterator[str]:
    rules = reading.objects(request, "rules")
    if rules:
        yield ""
        yield "asked by"
    for rule in rules:
        said = f"{len(_said(rule))} said yes" if _said(rule) else "nobody said yes yet"
        lacking = _missing(rule)
        yield (
            f"{INDENT}{_text(rule, 'rule')}: {max(1, reading.number(rule, 'count'))} of"
            f" {_who(rule)}; {said}, {lacking or 'nobody'} missing"
        )
        if reason := _text(rule, "reason"):
            yield f"{INDENT * 2}{reason}"


def _votes(request: Mapping[str, object]) -> Iterator[str]:
    votes = reading.objects(request, "decisions")
    if votes:
        yield ""
        yield "said so far"
    for vote in votes:
        reason = f": {text}" if (text := _text(vote, "reason")) else ""
        yield (
            f"{INDENT}{_text(vote, 'verdict')}  {_text(vote, 'name')}{_standing(vote)}"
            f" {_text(vote, 'at')}{reason}"
        )


def _standing(vote: Mapping[str, object]) -> str:
    """As whom somebody spoke: on a laptop their number, in a cluster their groups."""
    if "groups" not in vote:
        return f" ({_text(vote, 'person')})"
    groups = [neutral.line(one) for one in reading.texts(vote, "groups")]
    return f" ({', '.join(groups)})" if groups else ""


def _answers(request: Mapping[str, object]) -> Iterator[str]:
    """What was handed in as Grants, and what became of each; only a cluster has them."""
    found = reading.objects(request, "answers")
    if found:
        yield ""
        yield "handed in"
    for one in found:
        fate = _text(one, "phase") or "not answered yet"
        why = f": {text}" if (text := _text(one, "why")) else ""
        yield (
            f"{INDENT}{_text(one, 'effect')}  {_text(one, 'by') or 'nobody known'} for"
            f" `{_text(one, 'policy')}` ({_text(one, 'name')}); {fate}{why}"
        )


def _around(request: Mapping[str, object]) -> Iterator[str]:
    """What else to know: what ran before, who still waits, what waits beside it."""
    runs = reading.objects(request, "ranBefore")
    others = reading.number(request, "pending")
    is_left = _text(request, "state") == PENDING and _text(request, "waiting") == "0"
    if runs or others > 1 or is_left:
        yield ""
    if is_left:
        yield "no caller waits for it at this moment; a yes is used when the call is repeated"
    for run in runs:
        outcome = _text(run, "outcome") or "its outcome is not known"
        ago = spans.span(reading.number(run, "secondsAgo"))
        yield f"the same call ran {ago} ago: {outcome} ({_text(run, 'id')})"
    if others > 1:
        yield f"{others} requests of this pod wait in all"


def _who(rule: Mapping[str, object]) -> str:
    groups = reading.texts(rule, "groups")
    return " or ".join(neutral.line(group) for group in groups) if groups else "anybody"


def _said(rule: Mapping[str, object]) -> Sequence[object]:
    found = rule.get("approvedBy")
    return found if isinstance(found, list) else ()


def _missing(rule: Mapping[str, object]) -> int:
    return max(0, max(1, reading.number(rule, "count")) - len(_said(rule)))


def _fact(name: str, value: str) -> str:
    return f"{name:<{WIDTH}} {value}"


def _text(value: Mapping[str, object], key: str) -> str:
    return neutral.line(reading.text(value, key))
