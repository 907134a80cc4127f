"""Policy cases (P12)."""

import pytest

from mesh7_core.compiling import cases, compiler

POLICIES = b"""
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: support}
spec:
  selector: {matchLabels: {app: support}}
  rules:
  - {name: small, tools: [billing.create_refund], when: args.amount < 500, action: Allow}
  - {name: big, tools: [billing.create_refund], action: RequireApproval}
  - {name: reads, tools: ["api.get"], when: http.path == "/v1", action: Allow}
  - {name: audited, tools: ["billing.*"], action: Allow, mode: Audit}
  - {name: letters, prompts: ["billing.*"], action: Allow}
---
apiVersion: mesh7.dev/v1alpha1
kind: ToolSource
metadata: {name: billing}
spec: {mcp: {url: "https://billing.example.com"}, tools: {exclude: [debug_*]}}
---
apiVersion: mesh7.dev/v1alpha1
kind: ToolSource
metadata: {name: api}
spec: {http: {url: "https://api.example.com"}}
"""

CASES = b"""
apiVersion: mesh7.dev/v1alpha1
kind: PolicyCases
agent: {labels: {app: support}}
cases:
- name: small refunds pass
  tool: billing.create_refund
  arguments: {amount: 499}
  expect: Allow
  rule: default/support/small
  reason: allowed-by-rule
- {name: big refunds wait, tool: billing.create_refund, arguments: {amount: 500}, expect: Hold}
- {name: the same, tool: billing.create_refund, arguments: {amount: 500}, expect: RequireApproval}
- {name: reading, tool: api.get, http: {method: GET, path: /v1}, expect: Allow, rule: reads}
- {name: writing, tool: api.post, http: {method: POST, path: /v1}, expect: Deny}
- {name: letters, prompt: billing.reminder, expect: Allow}
- {name: audited, tool: billing.list, expect: Deny, would: Allow}
- {name: strangers, agent: {}, tool: billing.list, expect: Deny, reason: no-policy}
- {name: not served, tool: billing.debug_x, expect: Deny, reason: unknown-tool}
"""


def run(text: bytes) -> list[str]:
    compiled = compiler.compile_files({"policies.yaml": POLICIES})
    assert compiled.bundle is not None
    read = cases.read_cases({"cases.yaml": text})
    assert read.diagnostics == ()
    return [str(result.diagnostic()) for result in cases.run_cases(compiled.bundle, read.cases)]


@pytest.mark.promise("P12")
def test_cases_that_hold_have_nothing_to_tell() -> None:
    assert run(CASES) == ["None"] * 9


@pytest.mark.promise("P12")
@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            "tool: billing.create_refund, arguments: {amount: 1}, expect: Deny",
            "expected `Deny`, got `Allow` (`allowed-by-rule`, rule `default/support/small`)",
        ),
        (
            "tool: billing.create_refund, arguments: {amount: 1}, expect: Allow, rule: big",
            "expected rule `big`, got `Allow` (`allowed-by-rule`, rule `default/support/small`)",
        ),
        (
            "tool: api.get, expect: Deny, reason: no-policy",
            (
                "expected reason `no-policy`, got `Deny` (`denied-by-default`, "
                "rule `default/support/default`)"
            ),
        ),
        (
            "tool: billing.list, expect: Deny, would: Hold",
            (
                "expected that it would be `Hold`, got `Allow` (`allowed-by-rule`, "
                "rule `default/support/audited`)"
            ),
        ),
        (
            "tool: biling.list, expect: Deny",
            "unknown source `biling`, did you mean `billing`?",
        ),
    ],
)
def test_a_case_that_fails_says_what_came_instead(case: str, message: str) -> None:
    head = CASES.decode().partition("cases:")[0]

    assert run(f"{head}cases:\n- {{name: one, {case}}}\n".encode()) == [
        f"cases.yaml:6: error: case `one`: {message}"
    ]


@pytest.mark.promise("P12")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            "cases.yaml: error: no case found, write `kind: PolicyCases` with `cases`",
        ),
        (
            "apiVersion: mesh7.dev/v1alpha1\nkind: PolicyCases\ncases:\n- {name: a, expect: Deny}",
            "cases.yaml:4: error: cases[0]: name exactly one of `tool`, `resource` and `prompt`",
        ),
        (
            (
                "apiVersion: mesh7.dev/v1alpha1\nkind: PolicyCases\n"
                "cases:\n- {name: a, tool: b, expect: Deny}"
            ),
            "cases.yaml:4: error: cases[0].tool: `b` is no full name, write `<source>.<tool>`",
        ),
        (
            (
                "apiVersion: mesh7.dev/v1alpha1\nkind: PolicyCases\n"
                "cases:\n- {name: a, tool: b.c, expect: Denyy}"
            ),
            "cases.yaml:4: error: cases[0].expect: unknown value `Denyy`, did you mean `Deny`?",
        ),
        (
            (
                "apiVersion: mesh7.dev/v1alpha1\nkind: PolicyCases\n"
                "cases:\n- {name: a, tool: b.c, expect: Deny, reason: no-polcy}"
            ),
            (
                "cases.yaml:4: error: cases[0].reason: unknown reason `no-polcy`, "
                "did you mean `no-policy`?"
            ),
        ),
    ],
)
def test_cases_that_say_nothing_are_an_error(text: str, message: str) -> None:
    """P12: no case at all must not look like success."""
    read = cases.read_cases({"cases.yaml": text.encode()})

    assert [str(one) for one in read.diagnostics] == [message]


@pytest.mark.promise("P12")
@pytest.mark.promise("A9")
def test_grants_and_vetoes_of_the_folder_count() -> None:
    """A case is judged as on the first call: nothing has been used yet."""
    manifests = b"""
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: support}
spec:
  selector: {}
  rules:
  - name: refunds
    tools: ["billing.*"]
    action: RequireApproval
    approval: {grantable: {maxDuration: 1h}}
---
apiVersion: mesh7.dev/v1alpha1
kind: Grant
metadata: {name: morning}
spec:
  effect: Allow
  subject: {serviceAccount: default}
  tools: [billing.create_refund]
  policyRef: {namespace: default, name: support}
  expiresAt: 2026-11-21T10:00:00Z
  reason: INC-4711
---
apiVersion: mesh7.dev/v1alpha1
kind: Grant
metadata: {name: closed}
spec: {effect: Deny, subject: {}, tools: [billing.close]}
"""
    text = b"""
apiVersion: mesh7.dev/v1alpha1
kind: PolicyCases
cases:
- name: in time
  tool: billing.create_refund
  now: 2026-11-21T09:30:00Z
  expect: Allow
  reason: granted
- {name: too early, tool: billing.create_refund, now: "2026-11-21T08:30:00Z", expect: Hold}
- {name: too late, tool: billing.create_refund, now: "2026-11-21T10:00:00Z", expect: Hold}
- {name: another, tool: billing.other, now: "2026-11-21T09:30:00Z", expect: Hold}
- {name: closed, tool: billing.close, expect: Deny, reason: vetoed, rule: closed}
"""
    compiled = compiler.compile_files({"all.yaml": manifests})
    assert compiled.bundle is not None
    read = cases.read_cases({"cases.yaml": text})
    results = cases.run_cases(compiled.bundle, read.cases)
    assert (read.diagnostics, [one.problem for one in results]) == ((), [""] * 5)


def test_cases_beside_policies_do_not_disturb_the_gateway() -> None:
    files = {"policies.yaml": POLICIES, "cases.yaml": CASES}
    with_cases = compiler.compile_files(files)
    without = compiler.compile_files({"policies.yaml": POLICIES})

    assert with_cases == without
