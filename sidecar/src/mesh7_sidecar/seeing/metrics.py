"""What is counted on the path of calls: plain numbers in lists, found by one look at a dictionary.

A call whose decision, name and outcome were seen before costs that look, an addition and a search
among bucket bounds for each histogram. Everything that a label says is settled the first time.
Belongs to one event loop; whoever reads does so there. No clock, no network, no logging.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import Final

from mesh7_core.ledger.protocol import Observed, Seen
from mesh7_core.policy import calls
from mesh7_core.policy.decision import Decision
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry import sidecar_instruments as table
from mesh7_core.telemetry.instruments import OTHER, Instrument, Number, Reading
from mesh7_core.telemetry.record_spans import TOOL_ERROR, effect_of
from mesh7_core.telemetry.records import Outcome, Record
from mesh7_sidecar.seeing.histogram import Histogram, Values
from mesh7_sidecar.seeing.labels import Labels

MOST_CELLS: Final = 4_096
MOST_HISTOGRAMS: Final = 1_000
"""Of durations of MCP, on each side; what is more is counted as tool `other`."""
_METHODS: Final = {
    calls.Family.TOOLS: "tools/call",
    calls.Family.PROMPTS: "prompts/get",
    calls.Family.RESOURCES: "resources/read",
}
_MCP_DOORS: Final = frozenset({"mcp", "aggregate"})
_ENDED_WELL: Final = frozenset({Outcome.OK, Outcome.MOVED, Outcome.DRY_RUN})

_Key = tuple[object, ...]


class _Cell:
    """Where calls of one decision, name and outcome are counted.

    Attributes:
        counters: each goes up by one.
        took: of the durations of calls.
        client: of the durations at the source; None where no MCP server is asked.
    """

    __slots__ = ("client", "counters", "took")

    def __init__(self, took: list[int]) -> None:
        self.took = took
        self.client: list[int] | None = None
        self.counters: tuple[list[int], ...] = ()


class Metrics:
    """One gateway's.

    Args:
        labels: which names may be said.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._cells: dict[_Key, _Cell] = {}
        self._calls: dict[Values, list[int]] = {}
        self._would: dict[Values, list[int]] = {}
        self._failures: dict[Values, list[int]] = {}
        self._holds = 0
        self._refused: dict[Reason, int] = {}
        self._losses = 0
        # By door, effect and the labels of MCP: one addition a call, sorted out when it is read.
        self._took = Histogram(table.SERVER_DURATION)
        self._client = Histogram(table.CLIENT_DURATION)
        self._waits = Histogram(table.HOLD_WAIT)
        self._ledger = Histogram(table.LEDGER_DURATION)
        self._trips = self._ledger.of(())
        self._bounds = self._took.bounds

    def count(self, record: Record) -> None:
        """Take a finished call; never blocks, never raises."""
        call, decision, passage = record.call, record.decision, record.passage
        key: _Key = (
            call.source, call.name, call.family, decision.rules, decision.reason,
            decision.verdict, record.outcome, passage.door, record.detail,
        )  # fmt: skip
        would = decision.would
        if would is not None:
            key = (*key, would.rules, would.reason, would.verdict)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cell(record, key)
        for counter in cell.counters:
            counter[0] += 1
        took_ns = record.duration_ns
        series = cell.took
        series[bisect_left(self._bounds, took_ns)] += 1
        series[-1] += took_ns
        sent_ns = passage.sent_ns
        if sent_ns and cell.client is not None:
            took_ns += passage.started_ns - sent_ns
            series = cell.client
            series[bisect_left(self._bounds, took_ns)] += 1
            series[-1] += took_ns
        if passage.wait_ns:
            self._count_hold(record)

    def count_refused(self, reason: Reason) -> None:
        """A request was refused before it was a call."""
        self._refused[reason] = self._refused.get(reason, 0) + 1

    def count_trip(self, took_ns: int, observed: Observed) -> None:
        """The ledger answered a call, or nobody did."""
        self._ledger.add(self._trips, took_ns)
        if observed.seen is Seen.LOST:
            self._losses += 1

    def readings(self) -> list[Reading]:
        """All that was counted, of what is still in force."""
        self._forget()
        return [
            _gathered(
                self._took,
                table.SERVER_DURATION,
                lambda values: values[2:] if values[0] in _MCP_DOORS else None,
            ),
            self._client.reading(),
            _gathered(self._took, table.CALL_DURATION, lambda values: values[:2]),
            _counter(table.CALLS, self._calls),
            _counter(table.WOULD_BE_CALLS, self._would),
            Reading(table.HOLDS, [Number((), self._holds)]),
            self._waits.reading(),
            self._ledger.reading(),
            Reading(table.LEDGER_LOSSES, [Number((), self._losses)]),
            _counter(table.SOURCE_FAILURES, self._failures),
            Reading(
                table.REFUSED_REQUESTS,
                [Number((reason.value,), count) for reason, count in self._refused.items()],
            ),
        ]

    def _cell(self, record: Record, key: _Key) -> _Cell:
        """Where to count a call that is unlike those before, or has a name of nobody's."""
        call, labels = record.call, self._labels
        if labels.is_changed():
            self._forget()
        tool, source = labels.tool(call), labels.source(call.source)
        if not tool or OTHER in {source, tool}:
            # One place for names that callers make up, so that they fill nothing and are cheap.
            key = (source, tool, *key[2:])
            found = self._cells.get(key)
            if found is not None:
                return found
        cell = self._made(record, tool, source)
        if len(self._cells) >= MOST_CELLS:
            self._cells.clear()
        self._cells[key] = cell
        return cell

    def _made(self, record: Record, tool: str, source: str) -> _Cell:
        call, decision, labels = record.call, record.decision, self._labels
        full = f"{source}.{tool}" if tool and OTHER not in (source, tool) else tool and OTHER
        values = (_METHODS[call.family], tool, source, labels.word(_error_of(record)))
        came = (record.passage.door, effect_of(decision))
        took = _bounded(self._took, came, values)
        cell = _Cell(took)
        counters = [self._counted(self._calls, decision, full)]
        if decision.would is not None:
            counters.append(self._counted(self._would, decision.would, full))
        if call.source_kind is calls.SourceKind.MCP and record.outcome is not Outcome.REFUSED:
            cell.client = _bounded(self._client, (), values)
        if record.outcome is Outcome.FAILED:
            kind = labels.word(record.detail or OTHER)
            counters.append(self._failures.setdefault((source, kind), [0]))
        cell.counters = tuple(counters)
        return cell

    def _counted(self, series: dict[Values, list[int]], decision: Decision, tool: str) -> list[int]:
        effect, reason = effect_of(decision), decision.reason.value
        values = (effect, reason, self._labels.rule(decision.rules), tool)
        if values not in series and len(series) >= table.MOST_SERIES:
            values = (effect, reason, OTHER, OTHER)
        return series.setdefault(values, [0])

    def _count_hold(self, record: Record) -> None:
        passage = record.passage
        self._holds += 1
        until_ns = passage.judged_ns or passage.started_ns + record.duration_ns
        series = self._waits.of((record.decision.reason.value,))
        self._waits.add(series, until_ns - passage.wait_ns)

    def _forget(self) -> None:
        """Drop series of tools, rules and sources that are gone."""
        is_changed = self._labels.is_changed()
        tools, rules = self._labels.gone()
        if not (is_changed or tools):
            return
        full = {f"{source}.{name}" for source, name in tools}
        dropped = 0
        for counted in (self._calls, self._would):
            dropped += _drop(counted, lambda values: values[2] in rules or values[3] in full)
        for histogram in (self._took, self._client):
            dropped += _drop(
                histogram.series, lambda values: self._is_gone(values[-2], values[-3], tools)
            )
        dropped += _drop(self._failures, lambda values: self._is_gone(values[0], "", tools))
        if dropped:
            # Cells would count into series that nobody reads any more.
            self._cells.clear()

    def _is_gone(self, source: str, tool: str, tools: frozenset[tuple[str, str]]) -> bool:
        return (source, tool) in tools or self._labels.source(source) != source


def _bounded(histogram: Histogram, came: Values, values: Values) -> list[int]:
    if (*came, *values) not in histogram.series and len(histogram.series) >= MOST_HISTOGRAMS:
        values = (values[0], OTHER, OTHER, values[3])
    return histogram.of((*came, *values))


def _gathered(
    histogram: Histogram, instrument: Instrument, by: Callable[[Values], Values | None]
) -> Reading:
    """Series added up by some of their labels; those for which `by` has None are left out."""
    gathered = Histogram(instrument)
    for values, series in histogram.series.items():
        wanted = by(values)
        if wanted is not None:
            into = gathered.of(wanted)
            into[:] = [one + other for one, other in zip(into, series, strict=True)]
    return gathered.reading()


def _drop(series: dict[Values, list[int]], is_gone: Callable[[Values], bool]) -> int:
    gone = [each for each in series if is_gone(each)]
    for values in gone:
        del series[values]
    return len(gone)


def _counter(instrument: Instrument, series: dict[Values, list[int]]) -> Reading:
    return Reading(instrument, [Number(values, counted[0]) for values, counted in series.items()])


def _error_of(record: Record) -> str:
    """`error.type` of the conventions; empty when all went well."""
    if record.outcome in _ENDED_WELL:
        return ""
    if record.outcome in (Outcome.TOOL_ERROR, Outcome.REFUSED):
        return TOOL_ERROR
    return record.detail or record.outcome.value
