"""The calls of a trace in time: when each of their steps began, how long it took, who spoke.

Made of audit records alone, so it is there for calls that no collector was sent. What a record
says of its spans is taken as far as it can be: no step is longer than its call.
Pure: no clock, no network, no logging.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mesh7_cli import reading
from mesh7_cli.verbs import recorded
from mesh7_cli.verbs.recorded import Said
from mesh7_core.audit import moments
from mesh7_core.audit import recorded as lines
from mesh7_core.audit.recorded import Kind
from mesh7_core.telemetry import chosen

POLICY: Final = "policy.evaluate"
WAIT: Final = "approval.wait"
TOOL: Final = "tool"
_MS: Final = 1000.0
_DEEDS: Final = recorded.SAYINGS


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One; times are milliseconds since the first thing of the trace began."""

    name: str
    begin_ms: float
    length_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a person did.

    Attributes:
        says: `approved`; `could not approve` when it was refused.
    """

    said: Said
    at_ms: float
    who: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One call.

    Attributes:
        steps: in order; the last is the tool's when something was sent to it.
        marks: of people about its request, those that no earlier call has.
        is_again: an earlier call of the trace had the same tool and arguments.
    """

    said: Said
    whole: Step
    steps: tuple[Step, ...]
    marks: tuple[Mark, ...]
    is_again: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """A trace.

    Attributes:
        id: empty when its records have none.
        began: as a record would say it; empty when nothing of it has a time.
        marks: of people that no call of it is about.
        undrawn: records that are no calls and no deeds, or have no time.
    """

    id: str
    began: str
    length_ms: float
    calls: tuple[Drawn, ...]
    marks: tuple[Mark, ...]
    undrawn: int


def of(trace: str, found: Sequence[Said]) -> Waterfall:
    """The waterfall of these records."""
    timed = [(said, at) for said in found if (at := _at(said)) is not None]
    calls = [(said, end) for said, end in timed if said.kind is Kind.CALL]
    deeds = [(said, at) for said, at in timed if said.kind is Kind.DEED]
    begins = [end - _length_us(said) for said, end in calls]
    zero = min([*begins, *(at for _, at in deeds)], default=0)
    last = max([end for _, end in (*calls, *deeds)], default=0)
    marks = [_mark(said, (at - zero) / _MS) for said, at in deeds]
    drawn: list[Drawn] = []
    seen: set[tuple[str, ...]] = set()
    for said, end in sorted(calls, key=lambda one: one[1] - _length_us(one[0])):
        about = reading.text(said.fields, "requestId")
        taken = [mark for each in drawn for mark in each.marks]
        own = [mark for mark in marks if about and _about(mark) == about and mark not in taken]
        drawn.append(_drawn(said, (end - zero) / _MS, own, seen))
    taken = [mark for each in drawn for mark in each.marks]
    return Waterfall(
        id=trace,
        began=moments.written(zero * 1000) if calls or deeds else "",
        length_ms=(last - zero) / _MS,
        calls=tuple(drawn),
        marks=tuple(mark for mark in marks if mark not in taken),
        undrawn=len(found) - len(calls) - len(deeds),
    )


def as_object(drawn: Waterfall) -> dict[str, object]:
    """For programs."""
    return {
        "traceId": drawn.id,
        "began": drawn.began,
        "durationMs": round(drawn.length_ms, 3),
        "calls": [
            {
                "id": call.said.id,
                "agent": call.said.agent,
                "tool": reading.text(call.said.fields, "tool"),
                "decision": call.said.what,
                "reason": reading.text(call.said.fields, "reason"),
                "outcome": reading.text(call.said.fields, "outcome"),
                "requestId": reading.text(call.said.fields, "requestId"),
                "isAgain": call.is_again,
                "beginMs": round(call.whole.begin_ms, 3),
                "durationMs": round(call.whole.length_ms, 3),
                "steps": [
                    {
                        "name": step.name,
                        "beginMs": round(step.begin_ms, 3),
                        "durationMs": round(step.length_ms, 3),
                    }
                    for step in call.steps
                ],
                "people": list(map(_told, call.marks)),
            }
            for call in drawn.calls
        ],
        "people": list(map(_told, drawn.marks)),
    }


def _told(mark: Mark) -> dict[str, object]:
    fields = mark.said.fields
    return {
        "id": mark.said.id,
        "deed": mark.said.what,
        "by": fields.get("by"),
        "requestId": _about(mark),
        "time": reading.text(fields, "time"),
        "atMs": round(mark.at_ms, 3),
        "reason": reading.text(fields, "reason"),
        "refused": reading.text(fields, "refused"),
    }


def _drawn(said: Said, end_ms: float, marks: list[Mark], seen: set[tuple[str, ...]]) -> Drawn:
    fields = said.fields
    length = _length_us(said) / _MS
    begin = end_ms - length
    wait = min(recorded.milliseconds(fields, "waitMs"), length)
    sent = min(recorded.milliseconds(fields, "upstreamMs"), length - wait)
    judging = length - wait - sent
    steps = [Step(name=POLICY, begin_ms=begin, length_ms=judging)]
    if wait:
        steps.append(Step(name=WAIT, begin_ms=begin + judging, length_ms=wait))
    if sent:
        steps.append(Step(name=TOOL, begin_ms=end_ms - sent, length_ms=sent))
    same = (said.agent, reading.text(fields, "tool"), reading.text(fields, "arguments"))
    # Two names of which a part is hidden may be two.
    is_again = same in seen and chosen.MASK not in same[1]
    seen.add(same)
    return Drawn(
        said=said,
        whole=Step(name=reading.text(fields, "tool"), begin_ms=begin, length_ms=length),
        steps=tuple(steps),
        marks=tuple(marks),
        is_again=is_again,
    )


def _mark(said: Said, at_ms: float) -> Mark:
    says = _DEEDS.get(said.what, said.what)
    refused = reading.text(said.fields, "refused")
    who = recorded.person(said.fields) or "somebody"
    return Mark(said=said, at_ms=at_ms, who=who, says=f"could not {said.what}" if refused else says)


def _about(mark: Mark) -> str:
    return reading.text(mark.said.fields, "requestId")


def _at(said: Said) -> int | None:
    """Microseconds since 1970; None when it has no time that can be drawn."""
    return lines.moment(reading.text(said.fields, "time"))


def _length_us(said: Said) -> int:
    return round(recorded.milliseconds(said.fields, "durationMs") * _MS)
