"""Made-up calls, counted: a compiled set in force, sources that list, records of all kinds."""

from collections.abc import Iterable, Mapping

from mesh7_core.compiling import compiler
from mesh7_core.policy import bundle, calls
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.rules import RuleId
from mesh7_core.telemetry.instruments import Distribution, Instrument, Number, Reading
from mesh7_core.telemetry.passage import Passage
from mesh7_core.telemetry.records import Outcome, Record
from mesh7_sidecar.bundles.current import Current
from mesh7_sidecar.seeing.labels import Labels
from mesh7_sidecar.seeing.metrics import Metrics

AGENT = calls.Agent(namespace="shop", service_account="support", pod="support-1")
MS = 1_000_000
_SOURCE = """\
apiVersion: mesh7.dev/v1alpha1
kind: ToolSource
metadata: {{name: {name}}}
spec: {{mcp: {{transport: StreamableHTTP, url: http://localhost:1/mcp}}}}
"""


def compiled(sources: Iterable[str], rules: Iterable[str]) -> bundle.Bundle:
    """A set with these sources, and one policy `p` with these rules."""
    lines = "".join(f"  - {{name: {rule}, tools: ['*.{rule}'], action: Allow}}\n" for rule in rules)
    policy = (
        "apiVersion: mesh7.dev/v1alpha1\nkind: AgentPolicy\nmetadata: {name: p}\n"
        f"spec:\n  selector: {{}}\n  rules:\n{lines}"
    )
    files = {f"{name}.yaml": _SOURCE.format(name=name).encode() for name in sources}
    found = compiler.compile_files({**files, "p.yaml": policy.encode()}, namespace="shop")
    assert found.bundle is not None, found.diagnostics
    return found.bundle


class World:
    """Metrics, and all that they look at.

    Attributes:
        listed: names by source.
    """

    def __init__(self, *tools: str, sources: Iterable[str] = ("s",)) -> None:
        self.current = Current()
        self.listed: dict[str, set[str]] = {name: set(tools) for name in sources}
        self.current.swap(compiled(sources, ("all",)))
        self.metrics = Metrics(Labels(self.current, self._lists))

    def _lists(self, source: str, _kind: calls.SourceKind, name: str) -> bool:
        return name in self.listed.get(source, ())

    def series(self, instrument: Instrument) -> Mapping[tuple[str, ...], Number | Distribution]:
        """What one instrument reads, by the values of its labels."""
        (reading,) = [one for one in self.readings() if one.instrument is instrument]
        return {point.values: point for point in reading.points}

    def numbers(self, instrument: Instrument) -> dict[tuple[str, ...], float]:
        """The same of a counter or gauge."""
        return {
            values: point.value
            for values, point in self.series(instrument).items()
            if isinstance(point, Number)
        }

    def readings(self) -> list[Reading]:
        """All of it."""
        return self.metrics.readings()

    @property
    def size(self) -> int:
        """How many series there are in all."""
        return sum(len(reading.points) for reading in self.readings())


def allowed(rule: str = "all", would: Decision | None = None) -> Decision:
    """By a rule of policy `p`."""
    rules = (RuleId(f"shop/p/{rule}"),)
    return Decision(Verdict.ALLOW, Reason.ALLOWED_BY_RULE, rules, would=would)


def denied(reason: Reason = Reason.DENIED_BY_RULE, rule: str = "all") -> Decision:
    """Likewise."""
    return Decision(Verdict.DENY, reason, (RuleId(f"shop/p/{rule}"),))


def record(  # noqa: PLR0913 - what calls differ in
    decision: Decision,
    outcome: Outcome = Outcome.OK,
    name: str = "refund",
    *,
    source: str = "s",
    door: str = "mcp",
    family: calls.Family = calls.Family.TOOLS,
    took_ns: int = 30 * MS,
    sent_after_ns: int = 0,
    detail: str = "",
) -> Record:
    """One finished call; `sent_after_ns` 0 = nothing was sent."""
    passage = Passage(door, 1_000)
    if sent_after_ns:
        passage.sent_ns = 1_000 + sent_after_ns
    call = calls.Call(AGENT, family, source, name, {})
    return Record(
        call, decision, outcome, passage,
        ended_ns=1, duration_ns=took_ns, bundle="sha256:1", detail=detail,
    )  # fmt: skip
