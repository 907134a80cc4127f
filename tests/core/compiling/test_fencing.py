"""What is broken denies what it selects; everything else stays as it was."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.api.manifests import Document
from mesh7_core.compiling import delivered, fencing
from mesh7_core.compiling.fencing import Fenced
from mesh7_core.delivery.payloads import (
    BundleContent,
    OverlayContent,
    read_bundle,
    read_overlay,
    write_bundle,
    write_overlay,
)
from mesh7_core.policy.bundle import Bundle, Grant
from mesh7_core.policy.calls import Agent
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.judge import NO_LEDGER, decide, needs
from mesh7_core.policy.view import view_of
from tests.core.compiling.clustered import (
    AGENTS,
    BOT,
    OTHER,
    SUPPORT,
    a_baseline,
    a_grant,
    a_policy,
    a_source,
    an_object,
)
from tests.core.policy.building import NOW, a_call

ALLOWING: dict[str, object] = {"name": "all", "tools": ["*"], "action": "Allow"}
OPEN = a_policy("open", {"selector": {}, "rules": [ALLOWING]})
ASKING = a_policy("asking", {"selector": {}, "rules": [{
    "name": "ask", "tools": ["billing.*"], "action": "RequireApproval",
    "approval": {"grantable": {"maxDuration": "1h"}},
}]})  # fmt: skip
BROKEN_RULES = [{"name": "bad", "tools": ["*"], "action": "Alow"}]
SUPPORT_ONLY = {"matchLabels": {"app": "support"}}
PERMISSION: dict[str, object] = {
    "effect": "Allow",
    "subject": {"serviceAccount": "support"},
    "tools": ["billing.refund"],
    "policyRef": {"namespace": "shop", "name": "asking"},
    "expiresAt": "2026-11-21T10:00:00Z",
    "reason": "INC-4711",
}


def fenced(*documents: Document, labels: Mapping[str, str] | None = None) -> Fenced:
    return fencing.fence(documents, "shop", labels or {})


def delivered_of(
    found: Fenced, labels: Mapping[str, str] | None = None
) -> tuple[Bundle, tuple[Grant, ...]]:
    """What a sidecar makes of it, by way of both payloads."""
    grants = tuple(one for one in found.documents if one.kind == "Grant")
    rest = tuple(one for one in found.documents if one.kind != "Grant")
    content = BundleContent(namespace="shop", labels=labels or {}, documents=rest)
    bundle = delivered.compile_bundle(read_bundle(write_bundle(content)))
    overlay = OverlayContent(namespace="shop", documents=grants)
    return bundle, delivered.compile_overlay(read_overlay(write_overlay(overlay)), bundle)


def decision(
    bundle: Bundle, grants: tuple[Grant, ...], agent: Agent, name: str = "billing.refund"
) -> Decision:
    view = view_of(bundle, agent, grants)
    return decide(needs(view, a_call(name, agent=agent), NOW), NO_LEDGER)


def verdicts(found: Fenced, labels: Mapping[str, str] | None = None) -> tuple[str, str, str]:
    """Of support, bot and another."""
    bundle, grants = delivered_of(found, labels)
    first, second, third = (str(decision(bundle, grants, agent).verdict) for agent in AGENTS)
    return first, second, third


def test_what_compiles_is_left_as_it_is() -> None:
    documents = (OPEN, a_source("billing", {"mcp": {"url": "https://a.example"}}))
    assert fenced(*documents) == Fenced(documents=documents, diagnostics={}, refused=frozenset())


@pytest.mark.promise("P6")
@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"selector": SUPPORT_ONLY, "rules": BROKEN_RULES}, ("Deny", "Allow", "Allow")),
        (
            {"selector": {}, "serviceAccounts": ["b*"], "rules": BROKEN_RULES},
            ("Allow", "Deny", "Allow"),
        ),
        (
            {"selector": SUPPORT_ONLY, "mode": "Audit", "rules": BROKEN_RULES},
            ("Allow", "Allow", "Allow"),
        ),
        (
            {"selector": SUPPORT_ONLY, "mode": "audit", "rules": BROKEN_RULES},
            ("Deny", "Allow", "Allow"),
        ),
        ({"selector": {"matchLabls": {"app": "support"}}}, ("Deny", "Deny", "Deny")),
        ({"selector": None}, ("Deny", "Deny", "Deny")),
        ({"rules": BROKEN_RULES}, ("Deny", "Deny", "Deny")),
        ({"selector": SUPPORT_ONLY, "serviceAccounts": [""]}, ("Deny", "Allow", "Allow")),
        ({"selector": SUPPORT_ONLY, "serviceAccounts": 7}, ("Deny", "Allow", "Allow")),
        ({"selector": SUPPORT_ONLY, "serviceAccounts": None}, ("Deny", "Allow", "Allow")),
        (
            {"selector": {"matchExpressions": [{"key": "app", "operator": "In"}]}},
            ("Deny", "Deny", "Deny"),
        ),
        ({"selector": SUPPORT_ONLY, "namespaceSelector": {}}, ("Deny", "Allow", "Allow")),
        (None, ("Deny", "Deny", "Deny")),
        ([], ("Deny", "Deny", "Deny")),
        ("allow all", ("Deny", "Deny", "Deny")),
    ],
)
def test_a_broken_policy_denies_what_it_selects(
    spec: object, expected: tuple[str, str, str]
) -> None:
    """Design 7 and issue 5: one broken policy denies what it selects, the rest is left alone."""
    found = fenced(OPEN, a_policy("broken", spec))

    assert found.refused == {"AgentPolicy/shop/broken"}
    assert verdicts(found) == expected
    assert all(one.file == "AgentPolicy/shop/broken" for one in found.documents[1:])


@pytest.mark.promise("P8")
@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"selector": SUPPORT_ONLY, "rules": BROKEN_RULES}, ("Allow", "Deny", "Deny")),
        ({"selector": {"matchLabls": {"app": "support"}}}, ("Deny", "Deny", "Deny")),
        ({"selector": SUPPORT_ONLY, "serviceAccounts": 7}, ("Deny", "Deny", "Deny")),
        ({"selector": SUPPORT_ONLY, "serviceAccounts": None}, ("Deny", "Deny", "Deny")),
        ({"selector": SUPPORT_ONLY, "namespaceSelector": {}}, ("Deny", "Deny", "Deny")),
        ({"rules": []}, ("Deny", "Deny", "Deny")),
    ],
)
def test_a_broken_audit_policy_lets_nobody_pass_whom_it_does_not_surely_select(
    spec: dict[str, object], expected: tuple[str, str, str]
) -> None:
    """Design 4: whom audit policies alone select is forwarded (`audit-only`)."""
    assert verdicts(fenced(a_policy("trial", {"mode": "Audit", **spec}))) == expected


def test_the_refused_call_is_told_which_policy_is_broken() -> None:
    """The agent's owner has to find the way from the denial to the status."""
    bundle, grants = delivered_of(
        fenced(OPEN, a_policy("broken", {"selector": {}, "rules": BROKEN_RULES}))
    )

    found = decision(bundle, grants, SUPPORT)

    assert found.rules == ("shop/broken/deny-tools",)
    assert found.text == "policy `broken` does not compile, its status says why"


def test_what_is_said_of_a_document_is_what_was_written_of_it() -> None:
    """Diagnostics are those of the document, never of the fence; warnings stay too."""
    broken = a_policy("broken", {"selector": {}, "rules": [
        {"name": "a", "tools": ["*"], "action": "Allow", "when": "args."},
        {"name": "b", "tools": ["*"], "action": "Alow"},
    ]})  # fmt: skip
    source = a_source("crm", {"mcp": {"url": "https://a.example/${A}"}})

    told = {
        file: [one.path for one in found]
        for file, found in fenced(broken, source).diagnostics.items()
    }

    assert told == {
        "AgentPolicy/shop/broken": ["spec.rules[1].action"],
        "ToolSource/shop/crm": ["spec.mcp.url"],
    }


@pytest.mark.parametrize(
    ("labels", "expected"),
    [({"team": "a"}, ("Deny", "Allow", "Allow")), ({"team": "b"}, ("Allow", "Allow", "Allow"))],
)
def test_a_broken_baseline_denies_in_the_namespaces_that_it_selects(
    labels: dict[str, str], expected: tuple[str, str, str]
) -> None:
    spec = {"selector": SUPPORT_ONLY, "namespaceSelector": {"matchLabels": {"team": "a"}},
            "rules": BROKEN_RULES}  # fmt: skip

    found = fenced(OPEN, a_baseline("fence", spec), labels=labels)

    assert verdicts(found, labels) == expected
    assert found.refused == {"AgentPolicy/mesh7-system/fence"}
    assert len(found.documents) == (2 if expected[0] == "Deny" else 1)


def test_a_baseline_whose_namespaces_cannot_be_read_denies_in_all() -> None:
    spec = {"selector": SUPPORT_ONLY, "namespaceSelector": {"labels": {}}}
    assert verdicts(fenced(OPEN, a_baseline("fence", spec))) == ("Deny", "Allow", "Allow")


@pytest.mark.parametrize(
    "spec",
    [
        {"mcp": {"transport": "Stdio", "command": ["x"]}},
        {"mcp": {"url": "http://169.254.169.254/"}},
        {},
        None,
    ],
)
def test_a_broken_source_is_left_out(spec: object) -> None:
    """Its tools are unknown then, and unknown tools are denied."""
    found = fenced(OPEN, a_source("billing", spec))

    assert found.documents == (OPEN,)
    assert found.refused == {"ToolSource/shop/billing"}
    assert verdicts(found) == ("Allow", "Allow", "Allow")


@pytest.mark.parametrize(
    "changed",
    [
        {"tools": None},
        {"when": "args."},
        {"expiresAt": "tomorrow"},
        {"policyRef": {"namespace": "shop", "name": "unknown"}},
        {"expiresAt": "2030-01-01T00:00:00Z"},
    ],
)
def test_a_broken_permission_is_left_out(changed: dict[str, object]) -> None:
    found = fenced(ASKING, a_grant("morning", {**PERMISSION, **changed}))

    assert found.documents == (ASKING,)
    assert found.refused == {"Grant/shop/morning"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"effect": "Deny", "subject": {"serviceAccount": "support"}, "when": "args."},
            ("Deny", "Allow", "Allow"),
        ),
        ({"effect": "Deny", "subject": {"pod": "p-2"}, "tools": 7}, ("Allow", "Deny", "Allow")),
        (
            {"effect": "Deny", "subject": {"pod": "p-2", "serviceAccount": "bot"}},
            ("Deny", "Deny", "Deny"),
        ),
        ({"effect": "Deny", "subject": {"account": "bot"}}, ("Deny", "Deny", "Deny")),
        ({"effect": "Deny", "tools": ["billing.*"]}, ("Deny", "Deny", "Deny")),
        (
            {"effect": "Deny", "subject": {}, "expiresAt": "2026-11-21T09:59:00Z", "tools": []},
            ("Allow", "Allow", "Allow"),
        ),
        (
            {"effect": "Deny", "subject": {}, "expiresAt": "yesterday", "tools": []},
            ("Deny", "Deny", "Deny"),
        ),
        ({"effect": "allow", "subject": {"pod": "p-1"}}, ("Deny", "Allow", "Allow")),
        (None, ("Deny", "Deny", "Deny")),
    ],
)
def test_a_broken_veto_stops_its_subject_whatever_it_calls(
    spec: object, expected: tuple[str, str, str]
) -> None:
    """What is not plainly a permission may be a veto, and a veto only narrows."""
    found = fenced(OPEN, a_grant("stop", spec))

    assert found.refused == {"Grant/shop/stop"}
    assert verdicts(found) == expected


def test_a_permission_that_hangs_on_a_broken_policy_says_so() -> None:
    """Else its owner would look for a policy that is there."""
    broken = a_policy("asking", {"selector": SUPPORT_ONLY, "rules": BROKEN_RULES})
    late = a_policy("late", {"selector": SUPPORT_ONLY, "rules": [
        {"name": "a", "tools": ["*"], "action": "Deny"},
        {"name": "b", "tools": ["billing.*"], "action": "RequireApproval",
         "approval": {"grantable": {"maxDuration": "1h"}}},
    ]})  # fmt: skip
    on_late = {**PERMISSION, "policyRef": {"namespace": "shop", "name": "late"}}

    found = fenced(broken, late, a_grant("one", PERMISSION), a_grant("two", on_late))

    assert found.refused == {
        "AgentPolicy/shop/asking", "AgentPolicy/shop/late", "Grant/shop/one", "Grant/shop/two",
    }  # fmt: skip
    assert [
        (one.message, one.code)
        for name in ("one", "two")
        for one in found.diagnostics[f"Grant/shop/{name}"]
        if one.severity == "error"
    ] == [
        ("policy `shop/asking` is refused itself, mend it first", "UnknownPolicy"),
        ("policy `shop/late` is refused itself, mend it first", "UnknownPolicy"),
    ]


def test_what_answers_one_held_call_is_no_standing_grant() -> None:
    exact = {
        "effect": "Allow",
        "subject": {"pod": "p-1"},
        "requestRef": {"name": "r", "uid": "u"},
        "digest": "sha256:" + "0" * 64,
        "policyRef": {"namespace": "shop", "name": "asking"},
        "expiresAt": "2026-11-21T10:00:00Z",
        "reason": "yes",
    }
    assert fenced(ASKING, a_grant("exact", exact)) == fenced(ASKING)


def test_another_namespaces_objects_are_left_out() -> None:
    other = an_object("AgentPolicy", "other", {"selector": {}, "rules": BROKEN_RULES}, "bank")
    assert fenced(OPEN, other).documents == (OPEN,)


def test_a_policy_without_a_usable_name_is_fenced_under_another() -> None:
    """The API server has no such names; a test of the compiler may."""
    found = fenced(OPEN, a_policy("Not A Name", {"selector": SUPPORT_ONLY}))
    assert found.documents[1].name.startswith("refused-")
    assert verdicts(found) == ("Deny", "Allow", "Allow")


def test_an_error_that_is_nobodys_closes_the_namespace() -> None:
    """What cannot be told apart cannot be fenced off: twice the same object, both wrong."""
    found = fenced(OPEN, a_policy("open", {"selector": {}}), a_policy("OPEN", {"selector": {}}))
    assert verdicts(found) == ("Deny", "Deny", "Deny")


@dataclass(frozen=True, slots=True)
class Piece:
    """A document with whom it stops if it is broken; None = it is not.

    Attributes:
        audits: whom it selects while it stops nobody.
    """

    document: Document
    stops: Callable[[Agent], bool] | None = None
    audits: Callable[[Agent], bool] | None = None


def everybody(_: Agent) -> bool:
    return True


def nobody(_: Agent) -> bool:
    return False


def labelled(app: str) -> Callable[[Agent], bool]:
    return lambda agent: agent.labels.get("app") == app


def named(account: str) -> Callable[[Agent], bool]:
    return lambda agent: agent.service_account == account


SELECTORS: list[tuple[object, Callable[[Agent], bool]]] = [
    ({}, everybody),
    ({"matchLabels": {"app": "support"}}, labelled("support")),
    ({"matchLabels": {"app": "bot"}}, labelled("bot")),
    ({"matchLabels": {"app": "nobody"}}, nobody),
    ({"matchLabels": []}, everybody),
    ("app=bot", everybody),
]
READABLE = SELECTORS[:4]
GOOD_RULES = [
    [],
    [ALLOWING],
    [{"name": "some", "tools": ["billing.get_*"], "action": "Allow"}],
    [{"name": "ask", "tools": ["billing.*"], "action": "RequireApproval"}],
    [{"name": "no", "tools": ["crm.*"], "action": "Deny"}, ALLOWING],
]
BAD_RULES: list[object] = [
    BROKEN_RULES,
    [{"name": "x", "tools": ["*"], "action": "Allow", "when": "args.("}],
    [ALLOWING, ALLOWING],
    [ALLOWING, {"name": "dead", "tools": ["a.b"], "action": "Deny"}],
    [{"name": "x", "tols": ["*"], "action": "Allow"}],
    [{"name": "x", "tools": ["*"], "action": "Allow", "limits": ["none"]}],
    "none",
]


@st.composite
def pieces(draw: st.DrawFn) -> list[Piece]:
    found = []
    for name in draw(st.sets(st.sampled_from("abcdef"), max_size=6)):
        write = draw(st.sampled_from([a_policy, a_policy, a_baseline]))
        mode = draw(st.sampled_from(["Enforce", "Audit"]))
        if draw(st.booleans()):
            selector, _ = draw(st.sampled_from(READABLE))
            rules = draw(st.sampled_from(GOOD_RULES))
            spec = {"selector": selector, "mode": mode, "rules": rules}
            found.append(Piece(write(name, spec)))
        else:
            selector, selects = draw(st.sampled_from(SELECTORS))
            bad: dict[str, object] = {
                "selector": selector, "mode": mode, "rules": draw(st.sampled_from(BAD_RULES)),
            }  # fmt: skip
            is_read = any(selector == one for one, _ in READABLE)
            found.append(
                Piece(write(name, bad), selects)
                if mode == "Enforce"
                else Piece(write(name, bad), nobody, selects if is_read else nobody)
            )
    for name in draw(st.sets(st.sampled_from(["crm", "billing"]))):
        url = draw(st.sampled_from(["https://a.example", "http://localhost", "nonsense"]))
        is_good = url.startswith("https")
        found.append(Piece(a_source(name, {"mcp": {"url": url}}), None if is_good else nobody))
    names = draw(st.sets(st.sampled_from(["v", "w"])))
    return [*found, *(draw(vetoes(name)) for name in names)]


@st.composite
def vetoes(draw: st.DrawFn, name: str) -> Piece:
    account = draw(st.sampled_from(["support", "bot"]))
    spec: dict[str, object] = {"effect": "Deny", "subject": {"serviceAccount": account},
                               "tools": ["billing.*"]}  # fmt: skip
    if draw(st.booleans()):
        return Piece(a_grant(name, spec))
    return Piece(a_grant(name, {**spec, "when": "args.("}), named(account))


TOOLS = ["billing.refund", "billing.get_invoice", "crm.find", "a.b"]


@given(found=pieces(), tool=st.sampled_from(TOOLS))
def test_broken_documents_stop_whom_they_select_and_change_nothing_for_others(
    found: list[Piece], tool: str
) -> None:
    """The law of fencing: it compiles, it denies there, and it is not felt elsewhere."""
    whole = fenced(*(one.document for one in found))
    sound = fenced(*(one.document for one in found if one.stops is None))

    assert whole.refused == {one.document.file for one in found if one.stops is not None}
    assert sound.refused == frozenset()
    bundle, grants = delivered_of(whole)
    sound_bundle, sound_grants = delivered_of(sound)
    for agent in AGENTS:
        decided = decision(bundle, grants, agent, tool)
        if any(one.stops is not None and one.stops(agent) for one in found):
            assert decided.verdict is Verdict.DENY
        elif not any(one.audits is not None and one.audits(agent) for one in found):
            before = decision(sound_bundle, sound_grants, agent, tool)
            assert (decided.verdict, decided.rules) == (before.verdict, before.rules)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "*", "x", "Deny"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["selector", "rules", "effect", "subject", "mcp", "mode", "name", "url"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(specs=st.lists(st.tuples(st.sampled_from([a_policy, a_baseline, a_source, a_grant]), JUNK),
                      max_size=4))  # fmt: skip
def test_whatever_is_written_the_fenced_set_compiles(
    specs: list[tuple[Callable[[str, object], Document], object]],
) -> None:
    """The bundle is always made; a namespace is never left with yesterday's by one document."""
    documents = [write(f"n{at}", spec) for at, (write, spec) in enumerate(specs)]
    delivered_of(fenced(OPEN, *documents))


def test_the_agents_of_these_tests_differ() -> None:
    assert [one.service_account for one in (SUPPORT, BOT, OTHER)] == ["support", "bot", "other"]
