"""What the status of a ToolSource says, merged from what sidecars report."""

from dataclasses import replace

import pytest

from mesh7_core.delivery.reports import Drift, SourceReport, Tool
from mesh7_operator.reconciling.merging import MOST_TOOLS
from mesh7_operator.reconciling.world import StoreState, World, Written
from tests.operator.reconciling import worlds

A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
BILLING = {"key": "billing"}
PINNED = worlds.source(pinning={"mode": "Warn"})


def _tool(name: str, digest: str = A, drift: Drift | None = None) -> Tool:
    return Tool(name=name, digest=digest, drift=drift)


def _seen(*tools: Tool, error: str = "", protocol: str = "2026-07-28") -> SourceReport:
    return SourceReport(
        name="billing",
        is_ready=not error,
        error=error,
        protocol=protocol,
        tools=tools,
        tool_count=len(tools),
    )


def _heard(*seen: SourceReport, source: Written | None = None) -> World:
    world = worlds.settled(worlds.world(sources=(source or worlds.source(),)))
    reports = (
        worlds.sidecar(f"pod-{at}", bundle=worlds.NOON_MS, sources=(one,))
        for at, one in enumerate(seen)
    )
    return worlds.settled(worlds.reported(world, *reports))


@pytest.mark.promise("K3")
def test_what_sidecars_see_of_a_source_stands_in_its_status() -> None:
    found = _heard(_seen(_tool("refund"), _tool("charge")), _seen(_tool("refund")))
    status = dict(worlds.status_of(found, "billing"))
    del status["conditions"]
    assert status == {
        "observedGeneration": 1,
        "kind": "mcp",
        "protocolVersion": "2026-07-28",
        "toolCount": 2,
        "tools": [{"name": "charge", "digest": A}, {"name": "refund", "digest": A}],
        "reports": {"sidecars": 2, "ready": 2},
    }
    assert worlds.condition(found, "billing", "Ready") == ("True", "SourceAvailable")


@pytest.mark.parametrize(
    ("seen", "ready", "told"),
    [
        ([], "Unknown NoSidecar", "no sidecar"),
        ([_seen(_tool("refund"))], "True SourceAvailable", "1 of 1"),
        (
            [_seen(error="it answers 502"), _seen(_tool("refund"))],
            "False SourceUnavailable",
            "1 of 2 sidecars can read what it offers: it answers 502",
        ),
        (
            [_seen(error="b"), _seen(error="a"), _seen(error="b")],
            "False SourceUnavailable",
            "0 of 3 sidecars can read what it offers: b",
        ),
        ([_seen(error="x\ny\x1b[2J" + "z" * 5000)], "False SourceUnavailable", "x y [2J"),
    ],
    ids=["nobody", "all", "some", "the most frequent error", "an error that would write over it"],
)
def test_a_source_is_ready_when_every_sidecar_can_read_it(
    seen: list[SourceReport], ready: str, told: str
) -> None:
    found = _heard(*seen)
    assert " ".join(worlds.condition(found, "billing", "Ready")) == ready
    message = worlds.message(found, "billing", "Ready")
    assert told in message
    assert len(message) <= 1024


@pytest.mark.parametrize(
    ("source", "tools", "drifted", "told"),
    [
        (worlds.source(), [[_tool("a", drift=Drift.CHANGED)]], "False NotPinned", "Ignore"),
        (worlds.source(), [[_tool("a", A)], [_tool("a", B)]], "False NotPinned", "Ignore"),
        (PINNED, [[_tool("a")]], "False NoDrift", "as it was accepted"),
        (
            PINNED,
            [[_tool("a", drift=Drift.ADDED)], [_tool("b", drift=Drift.REMOVED)]],
            "True ToolsAdded",
            "Warning: 1 added (`a`); Info: 1 removed (`b`)",
        ),
        (
            PINNED,
            [[_tool("a", drift=Drift.ADDED), _tool("b", drift=Drift.CHANGED)]],
            "True ToolsChanged",
            "Critical: 1 changed (`b`); Warning: 1 added (`a`)",
        ),
        (PINNED, [[_tool("b", drift=Drift.REMOVED)]], "True ToolsRemoved", "Info: 1 removed (`b`)"),
        (PINNED, [[_tool("a", A)], [_tool("a", B)]], "True ToolsChanged", "Critical: 1 changed"),
        (PINNED, [], "Unknown NoSidecar", "no sidecar"),
    ],
    ids=[
        "not pinned", "not pinned, two definitions", "as accepted", "added and removed",
        "changed beats added", "removed", "sidecars see two definitions", "nobody",
    ],
)  # fmt: skip
def test_drift_is_told_by_its_severity(
    source: Written, tools: list[list[Tool]], drifted: str, told: str
) -> None:
    found = _heard(*(_seen(*one) for one in tools), source=source)
    assert " ".join(worlds.condition(found, "billing", "Drifted")) == drifted
    assert told in worlds.message(found, "billing", "Drifted")


def test_a_drift_stands_beside_its_tool() -> None:
    found = _heard(_seen(_tool("a", A)), _seen(_tool("a", B)), _seen(_tool("a", B)), source=PINNED)
    assert worlds.status_of(found, "billing")["tools"] == [
        {"name": "a", "digest": B, "drift": "Changed"}
    ]


def test_of_too_many_tools_those_that_drifted_are_named_first() -> None:
    many = [_tool(f"t{at:04}") for at in range(MOST_TOOLS + 100)]
    found = _heard(_seen(*many, _tool("zzz", drift=Drift.CHANGED)), source=PINNED)
    status = worlds.status_of(found, "billing")
    named = status["tools"]
    assert isinstance(named, list)
    assert len(named) == MOST_TOOLS
    assert named[0] == {"name": "zzz", "digest": A, "drift": "Changed"}
    assert status["toolCount"] == MOST_TOOLS + 101


@pytest.mark.parametrize(
    ("auth", "error", "resolved"),
    [
        (None, "", "True NoCredential"),
        (BILLING, "", "True CredentialAvailable"),
        (BILLING, "credential `billing` is missing – put it there", "False CredentialMissing"),
        (BILLING, "refused the credential `billing` (HTTP 401)", "True CredentialAvailable"),
        ({"key": "b.*"}, "credential `billing` is missing", "True CredentialAvailable"),
    ],
    ids=["none named", "there", "missing", "refused by the source", "a key is no pattern"],
)  # fmt: skip
def test_a_missing_credential_is_known_from_sidecars_alone(
    auth: dict[str, str] | None, error: str, resolved: str
) -> None:
    """Design 4: the operator never reads the namespace's credentials."""
    source = worlds.source(auth=auth) if auth else worlds.source()
    found = _heard(_seen(error=error), source=source)
    assert " ".join(worlds.condition(found, "billing", "ResolvedRefs")) == resolved


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"mcp": {"transport": "Stdio", "command": ["uvx", "x"]}}, "NotServedInCluster"),
        ({"cli": {"binary": "/bin/sh"}, "mcp": None}, "NotServedInCluster"),
        ({"mcp": {"url": "ftp://x"}}, "Invalid"),
    ],
)
def test_a_source_that_no_cluster_serves_says_so(spec: dict[str, object], reason: str) -> None:
    """Design 4: a tenant's argv must not run beside the sidecar's credentials."""
    meant = {key: one for key, one in {"mcp": None, **spec}.items() if one is not None}
    source = worlds.written("ToolSource", "billing", meant)
    found = _heard(source=source)
    assert worlds.condition(found, "billing", "Accepted") == ("False", reason)
    assert worlds.condition(found, "billing", "Ready") == ("False", reason)
    assert [one.kind for one in worlds.bundle_of(found).documents] == ["AgentPolicy"]


def test_what_was_last_seen_stands_while_nobody_reports() -> None:
    heard = _heard(_seen(_tool("refund")))
    lost = worlds.settled(replace(heard, store=StoreState.LOST, published=None))
    assert worlds.status_of(lost, "billing")["toolCount"] == 1
    assert worlds.condition(lost, "billing", "Ready") == ("Unknown", "StoreLost")
    alone = worlds.status_of(worlds.settled(worlds.reported(heard)), "billing")
    assert (alone["toolCount"], alone["reports"]) == (1, {"sidecars": 0, "ready": 0})


def test_an_edited_source_forgets_what_was_seen_of_it() -> None:
    heard = worlds.reported(_heard(_seen(_tool("refund"))))
    edited = replace(
        worlds.written("ToolSource", "billing", {"mcp": {"url": "http://new/mcp"}}, generation=2),
        status=heard.sources[0].status,
    )
    status = worlds.status_of(worlds.settled(replace(heard, sources=(edited,))), "billing")
    assert "tools" not in status
    assert status["observedGeneration"] == 2


def test_a_source_in_the_release_namespace_is_served_nowhere() -> None:
    source = replace(worlds.source(), namespace=worlds.RELEASE)
    world = worlds.world(
        namespace=worlds.RELEASE, is_enrolled=False, policies=(), sources=(source,)
    )
    found = worlds.settled(world)
    assert worlds.condition(found, "billing", "Accepted") == ("False", "NotServedHere")


def test_a_tool_whose_name_no_status_takes_is_counted_and_not_named() -> None:
    """Else one made-up report would keep the status from being written at all."""
    status = worlds.status_of(_heard(_seen(_tool("x" * 257), _tool("y"))), "billing")
    assert (status["toolCount"], status["tools"]) == (2, [{"name": "y", "digest": A}])
