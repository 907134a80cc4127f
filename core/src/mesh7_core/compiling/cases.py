"""Policy cases: calls with the decisions expected, judged by the judge that the gateway uses.

Limits are taken to admit every call, grants to be unused and people to be there to ask, so that a
case tells what the manifests mean and not what a ledger has counted.
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mesh7_core import names
from mesh7_core.api import cases as api
from mesh7_core.api import manifests
from mesh7_core.api.manifests import Document
from mesh7_core.api.places import Path
from mesh7_core.api.suggestions import advice
from mesh7_core.compiling.diagnostics import Diagnostic, Findings, Severity
from mesh7_core.policy import judge
from mesh7_core.policy.bundle import Bundle, Source
from mesh7_core.policy.calls import Agent, Call, Family, HttpPart, SourceKind
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.policy.view import AgentView, view_of

DEFAULT_NOW = datetime(2026, 1, 1, tzinfo=UTC)
"""A case says the same every day."""

_VERDICTS: Mapping[str, Verdict] = {
    "Allow": Verdict.ALLOW,
    "Deny": Verdict.DENY,
    "Hold": Verdict.HOLD,
    "RequireApproval": Verdict.HOLD,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case, and where it is written.

    Attributes:
        agent: `namespace` unset = the bundle's.
        source, name: the two parts of what is called.
    """

    file: str
    line: int
    written: api.Case
    agent: api.CaseAgent
    family: Family
    source: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCases:
    """All cases of some files; of no use when a diagnostic is an error."""

    cases: tuple[Case, ...]
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What came of one case.

    Attributes:
        problem: what differs from what was expected; empty when nothing does.
    """

    case: Case
    decision: Decision
    problem: str

    @property
    def is_passed(self) -> bool:
        """Everything is as expected."""
        return not self.problem

    def diagnostic(self) -> Diagnostic | None:
        """The difference with its place; None when there is none."""
        if self.is_passed:
            return None
        return Diagnostic(
            severity=Severity.ERROR,
            file=self.case.file,
            line=self.case.line,
            path="",
            message=f"case `{self.case.written.name}`: {self.problem}",
        )


def read_cases(files: Mapping[str, bytes]) -> ReadCases:
    """All cases of the files' PolicyCases; that there is none at all is an error (P12).

    Args:
        files: content by name; other kinds in them are passed over.
    """
    findings = Findings()
    cases: list[Case] = []
    for file in sorted(files):
        reading = manifests.read_file(file, files[file])
        for problem in reading.problems:
            findings.problem(problem, Severity.ERROR)
        for document in reading.documents:
            if document.kind == names.POLICY_CASES:
                cases += _cases(document, findings)
    if not cases and not findings.has_errors():
        findings.diagnostics.append(_nothing(files))
    return ReadCases(cases=tuple(cases), diagnostics=findings.in_order())


def run_cases(bundle: Bundle, cases: Iterable[Case]) -> tuple[CaseResult, ...]:
    """Judge every case by the bundle, in order."""
    views: dict[tuple[object, ...], AgentView] = {}
    results = []
    for case in cases:
        agent = _agent(bundle, case)
        key = (agent.namespace, agent.service_account, agent.pod, *sorted(agent.labels.items()))
        if key not in views:
            views[key] = view_of(bundle, agent)
        results.append(_run(bundle, case, agent, views[key]))
    return tuple(results)


def _nothing(files: Mapping[str, bytes]) -> Diagnostic:
    return Diagnostic(
        severity=Severity.ERROR,
        file=min(files, default=""),
        line=0,
        path="",
        message=f"no case found, write `kind: {names.POLICY_CASES}` with `cases`",
    )


def _cases(document: Document, findings: Findings) -> list[Case]:
    result = manifests.validate(document, api.PolicyCases, document.value)
    if isinstance(result, list):
        for problem in result:
            findings.problem(problem, Severity.ERROR)
        return []
    found = []
    known: set[str] = set()
    for index, one in enumerate(result.cases):
        path: Path = ("cases", index)
        if one.name in known:
            findings.error(document, (*path, "name"), "two cases have this name, rename one")
        known.add(one.name)
        target = _target(one, document, path, findings)
        _check_reason(one, document, path, findings)
        if target is not None:
            family, source, name = target
            found.append(
                Case(
                    file=document.file,
                    line=document.line(*path),
                    written=one,
                    agent=one.agent or result.agent,
                    family=family,
                    source=source,
                    name=name,
                )
            )
    return found


def _target(
    case: api.Case, document: Document, path: Path, findings: Findings
) -> tuple[Family, str, str] | None:
    named = [
        (family, key, value)
        for family, key, value in (
            (Family.TOOLS, "tool", case.tool),
            (Family.RESOURCES, "resource", case.resource),
            (Family.PROMPTS, "prompt", case.prompt),
        )
        if value is not None
    ]
    if len(named) != 1:
        findings.error(document, path, "name exactly one of `tool`, `resource` and `prompt`")
        return None
    family, key, value = named[0]
    source, dot, name = value.partition(".")
    if not (source and dot and name):
        message = f"`{value}` is no full name, write `<source>.<{key}>`"
        findings.error(document, (*path, key), message)
        return None
    return family, source, name


def _check_reason(case: api.Case, document: Document, path: Path, findings: Findings) -> None:
    known = [reason.value for reason in Reason]
    if case.reason is not None and case.reason not in known:
        message = f"unknown reason `{case.reason}`, {advice(case.reason, known)}"
        findings.error(document, (*path, "reason"), message)


def _run(bundle: Bundle, case: Case, agent: Agent, view: AgentView) -> CaseResult:
    source = bundle.sources.get(case.source)
    decision = _decide(case, source, agent, view)
    problem = _difference(case, decision)
    if source is None and bundle.sources:
        # Whatever is expected of it: a misspelt name would be denied and look like a success.
        problem = f"unknown source `{case.source}`, {advice(case.source, list(bundle.sources))}"
    return CaseResult(case=case, decision=decision, problem=problem)


def _agent(bundle: Bundle, case: Case) -> Agent:
    return Agent(
        namespace=bundle.namespace if case.agent.namespace is None else case.agent.namespace,
        service_account=case.agent.service_account,
        pod=case.agent.pod,
        labels=case.agent.labels,
    )


def _decide(case: Case, source: Source | None, agent: Agent, view: AgentView) -> Decision:
    if source is not None and case.family is Family.TOOLS and not _is_served(source, case.name):
        return Decision(Verdict.DENY, Reason.UNKNOWN_TOOL)
    http = case.written.http
    call = Call(
        agent,
        case.family,
        case.source,
        case.name,
        dict(case.written.arguments),
        SourceKind.MCP if source is None else source.kind,
        "" if source is None else source.host,
        None if http is None else HttpPart(method=http.method, path=http.path, query=http.query),
        case.written.session,
    )
    now = DEFAULT_NOW if case.written.now is None else case.written.now
    needs = judge.needs(view, call, now)
    return judge.decide(needs, judge.admitting(needs, call, now))


def _is_served(source: Source, tool: str) -> bool:
    """What `tools.include` and `tools.exclude` leave of the source."""
    if any(glob.matches(tool) for glob in source.exclude):
        return False
    return not source.include or any(glob.matches(tool) for glob in source.include)


def _difference(case: Case, decision: Decision) -> str:
    expected = case.written
    if _VERDICTS[expected.expect] is not decision.verdict:
        return f"expected `{expected.expect}`, got {_told(decision)}"
    would = decision if decision.would is None else decision.would
    if expected.would is not None and _VERDICTS[expected.would] is not would.verdict:
        return f"expected that it would be `{expected.would}`, got {_told(would)}"
    if expected.reason is not None and expected.reason != decision.reason:
        return f"expected reason `{expected.reason}`, got {_told(decision)}"
    if expected.rule is not None and not _is_named(expected.rule, decision):
        return f"expected rule `{expected.rule}`, got {_told(decision)}"
    return ""


def _told(decision: Decision) -> str:
    rules = f", rule {', '.join(f'`{rule}`' for rule in decision.rules)}" if decision.rules else ""
    return f"`{decision.verdict}` (`{decision.reason}`{rules})"


def _is_named(rule: str, decision: Decision) -> bool:
    return any(one == rule or one.endswith(f"/{rule}") for one in decision.rules)
