"""A decision told from its record alone: who, what, which rules, which people, and what it proves.

What `mesh7 explain ID` and `kubectl mesh7 explain ID` print.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import click

from mesh7_cli import neutral, output, reading, spelled
from mesh7_cli.backend import Voice
from mesh7_cli.records import Records, Seal
from mesh7_cli.verbs import recalled, recorded
from mesh7_cli.verbs.recalled import Recalled
from mesh7_cli.verbs.recorded import Said
from mesh7_cli.verbs.sentences import SENTENCES
from mesh7_core.audit.recorded import Kind
from mesh7_core.telemetry.records import Outcome

_WIDTH: Final = 11
_INDENT: Final = "  "
OUTCOMES: Final[Mapping[str, str]] = {
    Outcome.OK: "the tool answered",
    Outcome.TOOL_ERROR: "the tool answered that it failed",
    Outcome.PROTOCOL_ERROR: "the source answered with a JSON-RPC error",
    Outcome.FAILED: "the source did not answer",
    Outcome.GONE: "the caller left before the answer",
    Outcome.MOVED: "the source ended its stream before it answered",
    Outcome.REFUSED: "nothing was sent to the source",
    Outcome.DRY_RUN: "a question, nothing was called",
}
_SEALS: Final[Mapping[Seal, str]] = {
    Seal.AGREES: "the seal of the record's block agrees",
    Seal.DIFFERS: "the seal of the record's block does NOT agree, something in it was changed",
    Seal.NONE: "the record's block has no seal: it is being written, a crash left it, or it is old",
    Seal.NOT_CHECKED: "not checked here",
}
_CHECKS: Final = (
    ("arguments", "a keyed digest: a record with the same one had the same arguments"),
    ("body", "a keyed digest of the bytes that were forwarded"),
    ("digest", "of the exact call; the yes, the grant or the count of repeats was for this"),
    ("bundle", "of the compiled policies that judged"),
)


def run(records: Records, identifier: str, form: output.Form) -> None:
    """Tell it.

    Raises:
        UnknownError: there is no record and no request of this whole id.
    """
    found = recalled.one(records, identifier)
    seal = Seal.NONE if found.main is None else records.seal(found.main.id)
    if form is output.Form.TABLE:
        for line in _lines(found, seal, records.voice):
            click.echo(line)
    else:
        output.write(as_object(found, seal), form)
    if seal is Seal.DIFFERS:
        output.note(f"the record may not say what was written: {_SEALS[seal]}")
    for text in found.notes:
        output.note(text)


def as_object(found: Recalled, seal: Seal) -> dict[str, object]:
    """For programs."""
    main = found.main
    return {
        "record": None if main is None else main.fields,
        "seal": str(seal),
        "reasonMeans": "" if main is None else _sentence(reading.text(main.fields, "reason")),
        "outcomeMeans": "" if main is None else _outcome(main.fields),
        "people": [said.fields for said in found.others if said.kind is Kind.DEED],
        "related": [said.fields for said in found.others if said.kind is not Kind.DEED],
    }


def _lines(found: Recalled, seal: Seal, voice: Voice) -> Iterator[str]:
    if found.main is not None:
        yield from _record(found.main, voice.command("trace", "ID"))
    people = [said for said in found.others if said.kind is Kind.DEED]
    related = [said for said in found.others if said.kind is not Kind.DEED]
    for title, those in (("people", people), ("also about this request", related)):
        if those:
            yield ""
            yield title
        for said in those:
            yield _INDENT + neutral.line(_in_one_line(said))
    yield ""
    yield "to check"
    if found.main is not None:
        yield from _checks(found.main)
        yield f"{_INDENT}{'seal':<{_WIDTH}} {_SEALS[seal]}"
    check = voice.command("audit", "verify")
    yield f"{_INDENT}{'record':<{_WIDTH}} `{check}` holds every stored byte against its seal"


def _record(said: Said, draw: str) -> Iterator[str]:
    fields = said.fields
    yield _fact("record", said.id or "without an id: written before records were chained")
    yield _fact("time", reading.text(fields, "time"))
    match said.kind:
        case Kind.CALL:
            yield from _decision(fields)
            yield from _call(said, draw)
        case Kind.DEED:
            yield from _deed(fields)
        case _:
            yield _fact(said.what, recorded.why(said) or spelled.compact(fields))


def _decision(fields: Mapping[str, object]) -> Iterator[str]:
    reason = reading.text(fields, "reason")
    yield _fact("decision", f"{reading.text(fields, 'decision')} ({reason})")
    if sentence := _sentence(reason):
        yield _fact("", sentence)
    yield from _facts("rule", reading.texts(fields, "rules"))
    would = reading.one(fields, "would")
    if would:
        rules = ", ".join(reading.texts(would, "rules"))
        said = f"{reading.text(would, 'decision')} ({reading.text(would, 'reason')}) {rules}"
        yield _fact("would be", f"{said.rstrip()}, had what only audits been enforced")
    if limit := reading.text(fields, "limit"):
        yield _fact("limit", limit)
    if after := reading.text(fields, "retryAfter"):
        yield _fact("", f"asking again can help after {after} s")
    yield from _facts("grant", reading.texts(fields, "grants"))
    if request := reading.text(fields, "requestId"):
        yield _fact("request", request)


def _call(said: Said, draw: str) -> Iterator[str]:
    fields = said.fields
    door = reading.text(fields, "door")
    family = reading.text(fields, "family")
    yield _fact("tool", f"{reading.text(fields, 'tool')} ({family}, by the door `{door}`)")
    http = reading.one(fields, "http")
    if http:
        yield _fact("http", f"{reading.text(http, 'method')} {reading.text(http, 'path')}")
    yield _fact("agent", f"{said.agent}, pod {said.pod}")
    if session := reading.text(fields, "session"):
        yield _fact("session", session)
    yield _fact("outcome", _outcome_line(fields))
    yield _fact("took", _times(fields))
    if trace := reading.text(fields, "traceId"):
        yield _fact("trace", f"{trace}; {draw.replace('ID', trace)} draws it")
    shown = fields.get("redacted")
    if shown is not None:
        yield ""
        yield "arguments, with what policies hide"
        yield from (_INDENT + line for line in spelled.pretty(shown).split("\n"))


def _deed(fields: Mapping[str, object]) -> Iterator[str]:
    refused = reading.text(fields, "refused")
    act = reading.text(fields, "deed")
    yield _fact("deed", f"{act}, refused: {refused}" if refused else act)
    yield _fact("by", recorded.person(fields))
    for name, key in (
        ("request", "requestId"), ("tool", "tool"), ("agent", "agent"), ("grant", "grant"),
        ("reason", "reason"), ("trace", "traceId"),
    ):  # fmt: skip
        if text := reading.text(fields, key):
            yield _fact(name, text)
    if evidence := reading.text(fields, "by", "evidence"):
        yield _fact("evidence", evidence)


def _checks(said: Said) -> Iterator[str]:
    for key, meaning in _CHECKS:
        if text := reading.text(said.fields, key):
            yield f"{_INDENT}{key:<{_WIDTH}} {neutral.line(text)}"
            yield f"{_INDENT}{'':<{_WIDTH}} {meaning}"


def _in_one_line(said: Said) -> str:
    fields = said.fields
    words = [reading.text(fields, "time"), said.what, recorded.why(said)]
    if said.kind is Kind.DEED:
        words += [reading.text(fields, "by", "evidence")]
    else:
        words += [reading.text(fields, "outcome"), recorded.took(said), said.id]
    return "  ".join(word for word in words if word)


def _times(fields: Mapping[str, object]) -> str:
    """How long it took, and where."""
    parts = [
        f"{recorded.span(length)} {where}"
        for key, where in (("waitMs", "waiting for people"), ("upstreamMs", "at the source"))
        if (length := recorded.milliseconds(fields, key))
    ]
    whole = recorded.span(recorded.milliseconds(fields, "durationMs"))
    return f"{whole}, of it {' and '.join(parts)}" if parts else whole


def _outcome_line(fields: Mapping[str, object]) -> str:
    words = [reading.text(fields, "outcome")]
    for key, before in (("status", "status "), ("detail", "")):
        if text := reading.text(fields, key):
            words.append(f"{before}{text}")
    meaning = _outcome(fields)
    return f"{', '.join(words)}: {meaning}" if meaning else ", ".join(words)


def _outcome(fields: Mapping[str, object]) -> str:
    return OUTCOMES.get(reading.text(fields, "outcome"), "")


def _sentence(reason: str) -> str:
    return next((text for known, text in SENTENCES.items() if known.value == reason), "")


def _facts(name: str, values: list[str]) -> Iterator[str]:
    for number, value in enumerate(values):
        yield _fact("" if number else name, value)


def _fact(name: str, value: str) -> str:
    return f"{name:<{_WIDTH}} {neutral.line(value)}"
