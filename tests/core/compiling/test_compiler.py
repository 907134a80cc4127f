from datetime import timedelta
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh7_core.compiling import compiler
from mesh7_core.compiling.diagnostics import Severity
from mesh7_core.policy import bundle, rules
from mesh7_core.policy.calls import Family, SourceKind
from mesh7_core.policy.conditions import compile_condition
from mesh7_core.policy.globs import NameGlob, TextGlob

NOBODY_ASKED = rules.Approval(
    groups=(),
    count=1,
    timeout=timedelta(minutes=10),
    use_within=timedelta(minutes=10),
    hold=None,
    grantable=None,
)


def policy(name: str = "support", spec: str = "selector: {}", namespace: str = "") -> str:
    where = f", namespace: {namespace}" if namespace else ""
    return (
        "apiVersion: mesh7.dev/v1alpha1\nkind: AgentPolicy\n"
        f"metadata: {{name: {name}{where}}}\nspec: {{{spec}}}\n"
    )


def source(name: str, spec: str) -> str:
    return (
        "apiVersion: mesh7.dev/v1alpha1\nkind: ToolSource\n"
        f"metadata: {{name: {name}}}\nspec: {{{spec}}}\n"
    )


def compile_texts(
    *texts: str, namespace: str | None = None, **environment: str
) -> compiler.Compiled:
    files = {f"{number}.yaml": text.encode() for number, text in enumerate(texts)}
    return compiler.compile_files(files, namespace=namespace, environment=environment)


def messages(compiled: compiler.Compiled) -> list[str]:
    return [str(diagnostic) for diagnostic in compiled.diagnostics]


def test_a_policy_means_what_is_written() -> None:
    """Design 4."""
    compiled = compile_texts(
        """
apiVersion: mesh7.dev/v1alpha1
kind: AgentPolicy
metadata: {name: support, namespace: shop}
spec:
  selector: {matchLabels: {app: support}}
  serviceAccounts: ["support-*"]
  rules:
  - name: refunds
    tools: ["billing.create_refund"]
    when: args.amount < 500
    action: Allow
    limits: [writes]
    reason: small ones pass
  - {name: ask, prompts: ["*"], action: RequireApproval, mode: Audit}
  limits:
  - {name: writes, per: Agent, max: 30, window: 1m30s, onStoreLoss: Local}
  loops: {identical: 3, window: 10s}
"""
    )

    writes = rules.Limit(
        id="shop/support/writes",
        per=rules.Per.AGENT,
        maximum=30,
        window=timedelta(seconds=90),
        on_store_loss=rules.StoreLoss.LOCAL,
    )
    assert compiled.bundle is not None
    assert compiled.bundle.namespace == "shop"
    assert compiled.bundle.policies == (
        rules.Policy(
            id="shop/support",
            layer=rules.Layer.NAMESPACE,
            selector=rules.Selector(
                match_labels=(("app", "support"),),
                match_expressions=(),
                service_accounts=(TextGlob.parse("support-*"),),
            ),
            mode=rules.Mode.ENFORCE,
            default_action=rules.Action.DENY,
            default_approval=NOBODY_ASKED,
            rules=(
                rules.Rule(
                    id=rules.RuleId("shop/support/refunds"),
                    family=Family.TOOLS,
                    patterns=(NameGlob.parse("billing.create_refund"),),
                    condition=compile_condition("args.amount < 500"),
                    action=rules.Action.ALLOW,
                    mode=rules.Mode.ENFORCE,
                    limits=(writes,),
                    approval=None,
                    text="small ones pass",
                ),
                rules.Rule(
                    id=rules.RuleId("shop/support/ask"),
                    family=Family.PROMPTS,
                    patterns=(NameGlob.parse("*"),),
                    condition=None,
                    action=rules.Action.REQUIRE_APPROVAL,
                    mode=rules.Mode.AUDIT,
                    limits=(),
                    approval=NOBODY_ASKED,
                    text="",
                ),
            ),
            limits=(writes,),
            loop=rules.Loop(
                id=rules.RuleId("shop/support/loops"),
                per=rules.Per.POD,
                identical=3,
                window=timedelta(seconds=10),
                action=rules.Action.DENY,
                approval=NOBODY_ASKED,
            ),
            arguments=None,
            redact=(),
        ),
    )


def test_a_source_means_what_is_written() -> None:
    """Design 4; `${NAME}` comes from the gateway's environment, `$${` is literal."""
    compiled = compile_texts(
        source(
            "billing",
            'mcp: {url: "HTTPS://${HOST}:8443/mcp?v=1"}, auth: {key: billing, header: X-Api-Key}, '
            'headers: [{name: X-Team, value: "$${HOST}"}], tools: {exclude: ["debug_*"]}, '
            "bounds: {timeout: 5s, maxResponseSize: 1Ki}",
        ),
        HOST="Billing.example.com",
    )

    assert compiled.bundle is not None
    assert compiled.bundle.sources["billing"] == bundle.Source(
        name="billing",
        kind=SourceKind.MCP,
        transport=bundle.Transport.STREAMABLE_HTTP,
        url="https://billing.example.com:8443/mcp?v=1",
        host="billing.example.com",
        command=(),
        environment=(),
        headers=(("x-team", "${HOST}"),),
        credential=bundle.Credential(key="billing", header="X-Api-Key", scheme=""),
        include=(),
        exclude=(TextGlob.parse("debug_*"),),
        pinning=bundle.Pinning.IGNORE,
        accepted=MappingProxyType({}),
        validate_arguments=False,
        server_requests=bundle.ServerRequests(
            sampling=bundle.ServerRequest.DENY,
            roots=bundle.ServerRequest.DENY,
            elicitation=bundle.ServerRequest.ALLOW,
        ),
        bounds=bundle.Bounds(
            timeout=timedelta(seconds=5), maximum_response_bytes=1024, maximum_concurrency=64
        ),
        path="/mcp",
    )


def test_a_stdio_source_gets_its_command_and_environment() -> None:
    compiled = compile_texts(
        source(
            "git",
            'mcp: {transport: Stdio, command: [mcp-server-git, "${WHERE}"], '
            'env: [{name: TOKEN, value: "${TOKEN}"}]}',
        ),
        WHERE="repository",
        TOKEN="hush-hush",  # noqa: S106 - a value to look for
    )

    assert compiled.bundle is not None
    git = compiled.bundle.sources["git"]
    assert (git.command, git.environment, git.host) == (
        ("mcp-server-git", "repository"),
        (("TOKEN", "hush-hush"),),
        "stdio",
    )
    assert "hush-hush" not in repr(compiled)


def test_what_the_environment_filled_in_is_never_quoted() -> None:
    """S6: a diagnostic quotes what people wrote."""
    compiled = compile_texts(
        source("a", 'mcp: {url: "${URL}", transport: "${URL}"}'), URL="hush-hush"
    )

    assert messages(compiled) == [
        (
            "0.yaml:4: error: spec.mcp.transport: unknown value `${URL}`, "
            "known here: `SSE`, `Stdio`, `StreamableHTTP`"
        )
    ]


def test_without_an_environment_a_dollar_is_a_dollar() -> None:
    """Design 4: `${NAME}` exists in the laptop's folder loader only."""
    text = source("a", 'mcp: {url: "https://a.example.com/${NAME}"}')
    compiled = compiler.compile_files({"a.yaml": text.encode()})

    assert compiled.bundle is not None
    assert compiled.bundle.sources["a"].url == "https://a.example.com/${NAME}"


@pytest.mark.parametrize(
    ("asked", "written", "expected"),
    [
        (None, (), "default"),
        (None, ("", "shop"), "shop"),
        ("store", ("", ""), "store"),
        ("store", ("shop", "store"), "store"),
    ],
)
def test_the_namespace_is_the_one_asked_for_else_the_one_named_else_default(
    asked: str | None, written: tuple[str, ...], expected: str
) -> None:
    """Design 1."""
    texts = [policy(f"p{index}", namespace=one) for index, one in enumerate(written)]

    compiled = compile_texts(*texts, namespace=asked)

    assert compiled.bundle is not None
    assert compiled.bundle.namespace == expected
    assert {one.id.partition("/")[0] for one in compiled.bundle.policies} <= {expected}


def test_what_is_of_another_namespace_is_left_out_with_a_note() -> None:
    compiled = compile_texts(policy("a", namespace="shop"), policy("b"), namespace="store")

    assert compiled.bundle is not None
    assert [one.id for one in compiled.bundle.policies] == ["store/b"]
    assert messages(compiled) == [
        "0.yaml:3: note: metadata.namespace: namespace `shop` is not `store`, left out"
    ]


@pytest.mark.promise("P4")
def test_the_baseline_folder_is_a_layer_of_its_own() -> None:
    """Design 1 and 4: `DIR/baseline/`, silent by default, of the release namespace."""
    compiled = compiler.compile_files(
        {"baseline/a.yaml": policy("fence").encode(), "b.yaml": policy("own").encode()}
    )

    assert compiled.bundle is not None
    found = [(one.id, one.layer, one.default_action) for one in compiled.bundle.policies]
    assert found == [
        ("default/own", rules.Layer.NAMESPACE, rules.Action.DENY),
        ("mesh7-system/fence", rules.Layer.BASELINE, rules.Action.NONE),
    ]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "baseline/a.yaml",
            source("a", "mcp: {url: https://a.example.com}"),
            "baseline/a.yaml:2: error: kind: the baseline holds `AgentPolicy` only, move the file",
        ),
        (
            "baseline/a.yaml",
            policy(namespace="shop"),
            (
                "baseline/a.yaml:3: error: metadata.namespace: the baseline is in namespace "
                "`mesh7-system`, remove `namespace` or move the file"
            ),
        ),
        (
            "a.yaml",
            policy(namespace="mesh7-system"),
            (
                "a.yaml:3: error: metadata.namespace: what is in `mesh7-system` is the baseline, "
                "move it to `baseline/`"
            ),
        ),
    ],
)
def test_what_lies_in_the_wrong_layer_is_refused(file: str, text: str, message: str) -> None:
    """A fence that is taken for a namespace's own policy would be no fence."""
    compiled = compiler.compile_files({file: text.encode()})

    assert compiled.bundle is None
    assert messages(compiled) == [message]


def test_a_baseline_policy_for_other_namespaces_is_left_out() -> None:
    selector = "selector: {}, namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}"
    files = {"baseline/a.yaml": policy(spec=selector).encode()}

    elsewhere = compiler.compile_files(files, namespace="store")
    there = compiler.compile_files(files, namespace="shop")

    assert elsewhere.bundle is not None
    assert there.bundle is not None
    assert elsewhere.bundle.policies == ()
    assert [one.id for one in there.bundle.policies] == ["mesh7-system/support"]


def test_only_manifests_count_and_dotfiles_never_do() -> None:
    """Design 12: an editor's swap file is no policy."""
    content = policy().encode()
    names = [".a.yaml", ".git/a.yaml", "x/.y/a.json", "README.md", "a.yaml~", "a.yaml.swp"]

    compiled = compiler.compile_files(dict.fromkeys(names, content))

    assert messages(compiled) == [
        (
            "warning: no manifest found: every call is denied, "
            "write one that ends in `.yaml` or `.json`"
        )
    ]


def test_the_credentials_secret_is_read_and_never_shown() -> None:
    """Design 10: the same manifests serve both; S6."""
    compiled = compile_texts(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: mesh7-tool-credentials}\n"
        "data: {billing: aHVzaC1odXNo}\n"
        "stringData: {other: hush-hush, billing.hosts: billing.example.com}\n"
    )

    assert compiled.credentials == {"billing": "hush-hush", "other": "hush-hush"}
    assert "hush-hush" not in repr(compiled)


def test_two_credentials_that_share_a_variable_are_refused() -> None:
    """One of them would be sent to the other's host."""
    compiled = compile_texts(
        source("a", "mcp: {url: https://a.example.com}, auth: {key: a-b}"),
        source("b", "mcp: {url: https://b.example.com}, auth: {key: a.b}"),
    )

    assert messages(compiled) == [
        (
            "1.yaml:4: error: spec.auth.key: credentials `a-b` and `a.b` would share the "
            "environment variable `MESH7_CREDENTIAL_A_B`, rename one"
        )
    ]


def test_diagnostics_are_told_from_where_the_folder_is_seen() -> None:
    compiled = compile_texts(policy(spec="selector: {}, mode: Of"))

    assert [str(one.located_in("policies/")) for one in compiled.diagnostics] == [
        "policies/0.yaml:4: error: spec.mode: unknown value `Of`, known here: `Audit`, `Enforce`"
    ]


def test_one_broken_file_spoils_the_set_and_all_mistakes_are_told() -> None:
    compiled = compile_texts(policy("a"), "a: [", policy("b", spec="selector: {}, mode: Of"))

    assert compiled.bundle is None
    found = [(one.file, one.severity) for one in compiled.diagnostics]
    assert found == [("1.yaml", Severity.ERROR), ("2.yaml", Severity.ERROR)]


@pytest.mark.promise("P3")
@given(st.permutations(range(4)), st.lists(st.sampled_from("abcdxyz"), min_size=4, unique=True))
def test_neither_order_nor_names_of_files_change_the_bundle(
    order: list[int], names: list[str]
) -> None:
    texts = [
        policy("a", spec="selector: {}, rules: [{name: r, tools: ['*'], action: Allow}]"),
        policy("b"),
        source("s", "mcp: {url: https://a.example.com}"),
        source("t", "http: {url: https://b.example.com}"),
    ]
    plain = compile_texts(*texts)

    mixed = compiler.compile_files(
        {f"{names[place]}.yaml": texts[which].encode() for place, which in enumerate(order)}
    )
    joined = compile_texts("---\n".join(texts[which] for which in order))

    assert plain.bundle is not None
    assert mixed.bundle == plain.bundle
    assert joined.bundle == plain.bundle


def test_a_changed_rule_changes_the_digest() -> None:
    one = compile_texts(policy(spec="selector: {}"))
    other = compile_texts(policy(spec="selector: {}, mode: Audit"))

    assert one.bundle is not None
    assert other.bundle is not None
    assert one.bundle.digest != other.bundle.digest


WORDS = st.sampled_from(
    (
        *("apiVersion", "kind", "metadata", "name", "spec", "selector", "rules", "tools", "when"),
        *("action", "limits", "per", "max", "window", "mcp", "url", "command", "auth", "key"),
        *("headers", "value", "approval", "timeout", "matchLabels", "data", "items", "Allow"),
        *("mesh7.dev/v1alpha1", "AgentPolicy", "ToolSource", "Grant", "List", "Secret", "v1"),
        *("mesh7-tool-credentials", "*", "a.b", "10m", "https://a.example.com", "Stdio"),
        *("${X}", "args.a<1"),
    )
)
VALUES = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=20,
)
KINDS = st.sampled_from(["AgentPolicy", "ToolSource", "Grant", "PolicyCases", "List"])


def spell(value: object) -> str:
    """Flow-style YAML of a value, words plain."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {spell(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(spell(inner) for inner in value)}]"
    return "null" if value is None else str(value)


@pytest.mark.promise("P6")
@settings(deadline=None)
@given(KINDS, VALUES, VALUES)
def test_no_manifest_makes_the_compiler_raise(kind: str, metadata: object, spec: object) -> None:
    text = (
        f"apiVersion: mesh7.dev/v1alpha1\nkind: {kind}\n"
        f"metadata: {spell(metadata)}\nspec: {spell(spec)}\n"
    )

    compile_texts(text)
    compile_texts(f"metadata: {{name: a}}\n{spell(spec)}", spell(metadata), text, text)


@pytest.mark.promise("P6")
@settings(deadline=None)
@given(
    st.binary(max_size=60) | st.text("ab:{}[]-&*!|>'\"#%@` \n\t01.~", max_size=60).map(str.encode)
)
def test_no_bytes_make_the_compiler_raise(content: bytes) -> None:
    compiler.compile_files({"a.yaml": content, "b.json": content}, environment={})
