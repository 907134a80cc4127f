"""The commands of `kubectl mesh7` about held calls, by what they print."""

import json
import re
import subprocess
import sys

import pytest
import yaml

from mesh7_cli import main, plugin
from mesh7_core.ledger import showing
from tests.cli.approving import worlds
from tests.cli.approving.worlds import ID, OTHER, Fake, Object
from tests.cli.people_gateway import Book, serve
from tests.cli.test_people import NASTY, odd_in

Capture = pytest.CaptureFixture[str]
VALID = worlds.fate("True", "Valid", "it is valid", "Active")
WISH = ["grant", "billing.create_refund", "--for", "30m", "--reason", "INC-1"]


@pytest.mark.promise("C3")
def test_what_waits_is_a_table(kubectl: Fake, capsys: Capture) -> None:
    """docs/reference/kubectl-mesh7.md, requests: the laptop's table."""
    kubectl.tell([worlds.held(), worlds.held(OTHER) | {"status": worlds.DENIED}])
    assert plugin.exit_code(["requests"]) == 0
    heads, row, *rest = capsys.readouterr().out.splitlines()
    assert heads.split() == ["ID", "STATE", "TOOL", "AGENT", "AGE", "EXPIRES", "IN", "RULES"]
    cells = row.split()
    assert cells[:4] == [ID, "pending", "billing.create_refund", "shop/support"]
    assert (cells[-1], rest) == ("shop/refunds/big", [])


@pytest.mark.promise("C3")
def test_wide_and_all_namespaces_say_more(kubectl: Fake, capsys: Capture) -> None:
    """docs/reference/kubectl-mesh7.md, requests."""
    kubectl.tell([worlds.held(), worlds.held(OTHER, "lab")])
    assert plugin.exit_code(["requests", "-A", "-o", "wide"]) == 0
    heads, *rows = capsys.readouterr().out.splitlines()
    assert re.split(r"  +", heads) == [
        "NAMESPACE", "ID", "STATE", "TOOL", "AGENT", "AGE", "EXPIRES IN", "POD", "MISSING", "RULES",
    ]  # fmt: skip
    assert [row.split()[:2] for row in rows] == [["shop", ID], ["lab", OTHER]]
    assert "support-7d9f  1 more by finance for `shop/refunds/big`  shop/refunds/big" in rows[0]


@pytest.mark.promise("C3")
def test_programs_read_names_and_the_control_apis_objects(kubectl: Fake, capsys: Capture) -> None:
    """docs/reference/kubectl-mesh7.md, requests."""
    kubectl.tell([worlds.held()])
    assert plugin.exit_code(["requests", "-o", "name"]) == 0
    assert capsys.readouterr().out == f"approvalrequest.mesh7.dev/{ID}\n"
    assert plugin.exit_code(["requests", "-o", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["id"], found["arguments"]) == (ID, {"amount": 900, "id": 1.1})
    assert plugin.exit_code(["requests", "-o", "yaml"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == [found]


def test_an_empty_queue_is_said_and_never_counted_as_a_line(kubectl: Fake, capsys: Capture) -> None:
    """`kubectl mesh7 requests --no-headers | wc -l` is how many wait."""
    kubectl.tell([worlds.enrolled()])
    nothing = "nothing waits in namespace `shop` (-A looks into all)\n"
    assert plugin.exit_code(["requests"]) == 0
    assert capsys.readouterr() == (nothing, "")
    assert plugin.exit_code(["requests", "--no-headers"]) == 0
    assert capsys.readouterr() == ("", nothing)
    assert plugin.exit_code(["grants", "--no-headers"]) == 0
    assert capsys.readouterr() == (
        "", "no grants and no vetoes stand in namespace `shop` (-A looks into all)\n"
    )  # fmt: skip


@pytest.mark.promise("A11")
def test_show_has_everything_that_a_person_needs(kubectl: Fake, capsys: Capture) -> None:
    """Issue 7: see what waits, understand it; the laptop's card."""
    refused = worlds.answer("g-2", who="bob") | {
        "status": worlds.fate("False", "NotInGroups", "`bob` is in none of the groups", "Refused")
    }
    value = worlds.held(rules=[worlds.rule(count=2)]) | {"status": worlds.waiting(worlds.said())}
    beside = worlds.held(OTHER, tool="billing.cancel", digest="sha256:0")
    kubectl.tell([value, beside, worlds.answer("g-1"), refused])
    assert plugin.exit_code(["show", ID]) == 0
    shown = capsys.readouterr().out
    facts, _, rest = shown.partition("\n\n")
    told = dict(line.split(maxsplit=1) for line in facts.splitlines())
    assert {key: told[key] for key in ("request", "state", "tool", "agent", "digest")} == {
        "request": ID, "state": "pending", "tool": "billing.create_refund",
        "agent": "shop/support, pod support-7d9f", "digest": worlds.DIGEST,
    }  # fmt: skip
    assert rest == (
        "arguments\n"
        "  {\n"
        '    "amount": 900,\n'
        '    "id": 1.10\n'
        "  }\n"
        "\n"
        "asked by\n"
        "  shop/refunds/big: 2 of finance; 1 said yes, 1 more by finance for `shop/refunds/big`"
        " missing\n"
        "    big money\n"
        "\n"
        "said so far\n"
        "  approve  jane (finance) 2026-11-21T10:01:00Z: fine\n"
        "\n"
        "handed in\n"
        "  Allow  jane for `shop/refunds` (g-1); Active\n"
        "  Allow  bob for `shop/refunds` (g-2); Refused: `bob` is in none of the groups\n"
        "\n"
        "2 requests of this pod wait in all\n"
        "\n"
        "also waiting from the same agent\n"
        f"  {OTHER}  billing.cancel\n"
    ).replace("1 more by finance for `shop/refunds/big` missing", "1 missing")


@pytest.mark.promise("A11")
def test_cut_arguments_show_that_they_are_not_all(kubectl: Fake, capsys: Capture) -> None:
    """Design 6.4: head, tail, size; beyond 16 KiB approving needs --unseen."""
    text = f'{{"a":"{"x" * 12000} [… 1033576 of 1048576 cut out …] {"y" * 3000}"'
    kubectl.tell([worlds.held(arguments=text, argumentsSize=1 << 20)])
    assert plugin.exit_code(["show", ID]) == 0
    out = capsys.readouterr().out
    assert "! not all of the arguments can be shown: of 1,048,576 bytes only head" in out
    assert "y" * 3000 in out
    assert plugin.exit_code(["approve", ID]) == 1
    assert "needs --unseen" in capsys.readouterr().err
    assert plugin.exit_code(["approve", ID, "--unseen", "--wait=false"]) == 0
    assert [one["spec"]["unseen"] for one in kubectl.made()] == [True]


@pytest.mark.promise("A11")
@pytest.mark.parametrize(
    "arguments",
    [
        ["requests"], ["requests", "-A", "-o", "wide"], ["requests", "-o", "json"],
        ["requests", "-o", "yaml"], ["requests", "-o", "name"], ["show", ID],
        ["show", ID, "-o", "yaml"], ["show", ID, "-o", "json"], ["approve", ID],
        ["approve", ID, "--dry-run=client"], ["deny", ID], ["grants", "-o", "wide", "--all"],
        ["grants", "-o", "json"], ["grants", "-o", "name"], ["approve", NASTY], ["show", NASTY],
        ["revoke", NASTY], ["kill", NASTY], [*WISH, "--agent", NASTY],
        ["kill", "--all", "-n", NASTY],
    ],
)  # fmt: skip
def test_nothing_that_a_stranger_wrote_reaches_the_terminal_raw(
    kubectl: Fake, capsys: Capture, arguments: list[str]
) -> None:
    """Attack of issue 7: ANSI, bidi, newlines and look-alikes in the approver's terminal."""
    held = worlds.held(
        arguments=NASTY,
        tool=NASTY,
        agent={"namespace": "shop", "serviceAccount": NASTY},
        pod={"name": NASTY, "uid": NASTY},
        rules=[{"rule": f"shop/refunds/{NASTY}", "groups": [NASTY], "count": 2, "reason": NASTY}],
        traceId=NASTY,
        definition=NASTY,
    )
    spoken = {"username": NASTY, "groups": [NASTY], "verdict": NASTY, "reason": NASTY, "at": NASTY}
    held["status"] = worlds.status("Pending", NASTY, decisions=[spoken], outcome=NASTY)
    grant = worlds.granted(NASTY, tools=[NASTY], reason=NASTY, grantedBy={"username": NASTY})
    refused = worlds.fate("False", NASTY, NASTY, NASTY)
    answered = worlds.answer(NASTY, NASTY, NASTY) | {"status": refused}
    other = worlds.held(OTHER, agent=held["spec"]["agent"], tool=NASTY)
    kubectl.tell([held, other, grant, answered], said={"*": refused}, person=NASTY)
    plugin.exit_code(arguments)
    printed = capsys.readouterr()
    text = printed.out + printed.err
    assert text
    assert odd_in(text) == []


@pytest.mark.promise("A11")
def test_a_megabyte_from_the_agent_is_no_more_than_the_cluster_keeps(
    kubectl: Fake, capsys: Capture
) -> None:
    """Attack of issue 7: arguments of 1 MB."""
    text = "\\u202e" * (showing.MOST_SHOWN // 6)
    kubectl.tell([worlds.held(arguments=text, argumentsSize=1 << 20)])
    assert plugin.exit_code(["show", ID]) == 0
    assert len(capsys.readouterr().out) < 2 * showing.MOST_SHOWN


@pytest.mark.promise("A1")
@pytest.mark.parametrize("verb", ["approve", "deny"])
def test_a_digest_keeps_an_answer_from_a_call_that_took_the_id(
    kubectl: Fake, capsys: Capture, verb: str
) -> None:
    """An attack: the id of a call that was looked at, opened anew for another one."""
    kubectl.tell([worlds.held(digest=f"sha256:{'3' * 64}")])
    for more in ([], ["--dry-run=client"]):
        assert plugin.exit_code([verb, ID, "--digest", worlds.DIGEST, *more]) == 1
        printed = capsys.readouterr()
        assert "is for another call than the one that was looked at" in printed.err
        assert printed.out == ""
    assert kubectl.made() == []
    kubectl.tell([worlds.held()])
    assert plugin.exit_code([verb, ID, f"--digest={worlds.DIGEST}", "--wait=false"]) == 0
    assert f"`{ID}`: billing.create_refund for shop/support" in capsys.readouterr().out
    assert [one["spec"]["digest"] for one in kubectl.made()] == [worlds.DIGEST]


@pytest.mark.promise("C3")
def test_a_yes_is_told_as_on_a_laptop(kubectl: Fake, capsys: Capture) -> None:
    """docs/reference/kubectl-mesh7.md, approve; by the name that `-o name` prints, too."""
    kubectl.tell([worlds.held()], said={"*": worlds.COUNTED}, after={ID: worlds.APPROVED})
    assert plugin.exit_code(["approve", f"approvalrequest.mesh7.dev/{ID}", "--reason", "ok"]) == 0
    assert capsys.readouterr() == (
        (
            f"approved `{ID}`: billing.create_refund for shop/support – usable once, until "
            "2026-11-21T10:11:00Z\n"
        ),
        "",
    )
    assert [one["spec"]["reason"] for one in kubectl.made()] == ["ok"]


@pytest.mark.promise("C3")
def test_each_name_is_answered_on_its_own_and_one_failure_is_exit_1(
    kubectl: Fake, capsys: Capture
) -> None:
    """docs/reference/kubectl-mesh7.md: 1 when anything was not done, as kubectl ends."""
    kubectl.tell([worlds.held()], said={"*": worlds.COUNTED}, after={ID: worlds.APPROVED})
    assert plugin.exit_code(["approve", "r-missing", ID]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith(f"approved `{ID}`")
    assert printed.err == (
        "error: there is no request `r-missing` – `kubectl mesh7 requests -n shop` lists what "
        "there is\n"
    )


@pytest.mark.promise("C3")
@pytest.mark.parametrize(("verb", "effect"), [("approve", "Allow"), ("deny", "Deny")])
def test_a_dry_run_prints_the_grant_and_makes_none(
    kubectl: Fake, capsys: Capture, verb: str, effect: str
) -> None:
    """Issue 7: `--dry-run`."""
    kubectl.tell([worlds.held()])
    assert plugin.exit_code([verb, ID, "--dry-run", "client"]) == 0
    (drafted,) = yaml.safe_load_all(capsys.readouterr().out)
    assert drafted["spec"]["effect"] == effect
    assert "grantedBy" not in drafted["spec"]
    assert plugin.exit_code([verb, ID, "--dry-run=server"]) == 0
    (checked,) = yaml.safe_load_all(capsys.readouterr().out)
    assert checked["spec"]["grantedBy"]["username"] == "jane"
    assert kubectl.made() == []


def test_a_dry_run_of_several_is_a_stream_of_documents(kubectl: Fake, capsys: Capture) -> None:
    """So that `kubectl create -f -` takes it."""
    kubectl.tell([worlds.held(rules=[worlds.rule("a"), worlds.rule("b")])])
    assert plugin.exit_code(["deny", ID, "--dry-run=client"]) == 0
    found = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [one["spec"]["policyRef"]["name"] for one in found] == ["a", "b"]


def test_standing_grants_have_a_phase_and_a_reason(kubectl: Fake, capsys: Capture) -> None:
    """docs/reference/kubectl-mesh7.md, grants."""
    kubectl.tell([worlds.granted(), worlds.answer("g-1")])
    assert plugin.exit_code(["grants", "--all"]) == 0
    heads, *rows = capsys.readouterr().out.splitlines()
    assert re.split(r"  +", heads) == [
        "NAME", "EFFECT", "TOOLS", "WHO", "POLICY", "EXPIRES IN", "USES", "PHASE", "BY", "REASON",
    ]  # fmt: skip
    assert re.split(r"  +", rows[0])[:5] == [
        "g-1", "Allow", f"request {ID}", "support-7d9f", "shop/refunds",
    ]  # fmt: skip
    assert re.split(r"  +", rows[1])[6:] == ["2 of 5", "Active", "ann", "INC-1"]
    assert plugin.exit_code(["grants", "-o", "name"]) == 0
    assert capsys.readouterr().out == "grant.mesh7.dev/hand-abcde\n"


@pytest.mark.promise("C3")
def test_a_permission_says_how_to_end_it(kubectl: Fake, capsys: Capture) -> None:
    """docs/reference/kubectl-mesh7.md, grant."""
    kubectl.tell([worlds.policy()], said={"*": VALID})
    assert plugin.exit_code([*WISH, "--uses", "3", "--agent", "shop/support"]) == 0
    (made,) = kubectl.made()
    name, until = made["metadata"]["name"], made["spec"]["expiresAt"]
    assert capsys.readouterr() == (
        (
            f"granted `{name}`: billing.create_refund for support until {until}, 3 uses – end it "
            f"with `kubectl mesh7 revoke {name} -n shop` (needs `delete` on grants)\n"
        ),
        "",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["approve"], "missing argument `NAME...`"),
        (
            ["approve", ""],
            "an id is empty – give whole ids, as `kubectl mesh7 requests` shows them",
        ),
        (["approve", ID, "--digest", "sha256:1"], "`sha256:1` is no digest"),
        (["deny", ID, OTHER, "--digest", worlds.DIGEST], "name one request"),
        (["approve", ID, "--wait", "soon"], "invalid value for `--wait`"),
        (["kill"], "name one AGENT, or say --all to stop every agent of the namespace"),
        (["kill", "support", "--all"], "name one AGENT, or say --all"),
        (["kill", " "], "AGENT is empty"),
        (["kill", "lab/support", "-n", "shop"], "agent `lab/support` is not of namespace `shop`"),
        (WISH, "say whose calls: exactly one of --agent and --pod"),
        ([*WISH, "--agent", "a", "--pod", "b"], "say whose calls: exactly one of"),
        (["grant", "refund", *WISH[2:], "--agent", "a"], "`refund` is no tool name"),
        ([*WISH, "--agent", "a", "--policy", "refunds"], "`refunds` is no policy"),
        (["requests", "-o", "toml"], "invalid value for `-o` / `--output`"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error_and_nothing_is_handed_in(
    kubectl: Fake, capsys: Capture, arguments: list[str], message: str
) -> None:
    """Issue 7: usage is 2, and no prompt ever."""
    kubectl.tell([worlds.held(), worlds.policy()])
    assert plugin.exit_code(arguments) == 2
    assert message.lower() in capsys.readouterr().err.lower()
    assert kubectl.made() == []


@pytest.mark.promise("C3")
def test_a_kill_and_its_end_are_told_as_on_a_laptop(kubectl: Fake, capsys: Capture) -> None:
    """docs/reference/kubectl-mesh7.md, kill and revoke; another namespace by the agent's name."""
    kubectl.tell([], said={"*": VALID})
    assert plugin.exit_code(["kill", "--all", "--reason", "it loops"]) == 0
    (made,) = kubectl.made()
    name = made["metadata"]["name"]
    assert capsys.readouterr().out == (
        "killed: every call of everybody is refused – lift it with `kubectl mesh7 revoke "
        f"{name} -n shop` (needs `delete` on grants)\n"
    )
    assert made["spec"]["reason"] == "it loops"
    assert plugin.exit_code(["revoke", f"grant.mesh7.dev/{name}"]) == 0
    assert capsys.readouterr().out == f"lifted `{name}`: its calls are judged again\n"
    assert kubectl.made() == []
    assert plugin.exit_code(["kill", "lab/support", "-o", "name"]) == 0
    assert kubectl.made()[0]["metadata"]["namespace"] == "lab"


def test_a_dry_run_of_a_kill_a_grant_and_a_revoke_changes_nothing(
    kubectl: Fake, capsys: Capture
) -> None:
    """Issue 7: `--dry-run` on what writes."""
    kubectl.tell([worlds.policy(), worlds.granted()])
    assert plugin.exit_code(["kill", "--all", "--dry-run=server", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["spec"]["effect"] == "Deny"
    assert plugin.exit_code([*WISH, "--agent", "support", "--dry-run=client", "-o", "name"]) == 0
    assert capsys.readouterr().out.startswith("grant.mesh7.dev/hand-")
    assert plugin.exit_code(["revoke", "hand-abcde", "--dry-run=server"]) == 0
    assert capsys.readouterr() == (
        "revoked `hand-abcde`\n", "mesh7: a dry run: nothing was deleted\n"
    )  # fmt: skip
    assert len(kubectl.made()) == 1


@pytest.mark.parametrize("arguments", [["requests"], ["grants", "-A"], ["show", ID], ["deny", ID]])
@pytest.mark.parametrize(
    ("world", "message"),
    [
        (
            {"unknown": ["approvalrequests", "grants"]},
            (
                "error: the API server does not know what is asked of it – mesh7's own kinds come "
                "with the chart mesh7-crds\n"
            ),
        ),
        ({"forbidden": [f"{verb} {kind}" for verb in ("get", "list") for kind in
                        ("approvalrequests", "grants")]},
         "have an administrator bind ClusterRole `mesh7-viewer`"),
        ({"stderr": "Unable to connect to the server: dial tcp: refused"},
         "error: the API server does not answer"),
    ],
)  # fmt: skip
def test_without_kinds_rights_or_a_server_it_says_what_to_do(
    kubectl: Fake, capsys: Capture, arguments: list[str], world: Object, message: str
) -> None:
    """Brief: a missing CRD, not installed, no rights to list."""
    kubectl.tell([], **world)
    assert plugin.exit_code([*arguments, "--namespace=shop"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err


@pytest.mark.promise("C3")
def test_kubectls_flags_go_through_to_every_question(kubectl: Fake) -> None:
    """Issue 7: every way of kubectl to log in works."""
    kubectl.tell([worlds.held()], said={"*": worlds.COUNTED}, after={ID: worlds.APPROVED})
    who = ["--context", "x", "--as", "jane", "--as-group", "finance", "--request-timeout=9s"]
    assert plugin.exit_code(["-n", "shop", *who, "approve", ID]) == 0
    given = ["--context=x", "--as=jane", "--as-group=finance", "--request-timeout=9s"]
    assert {tuple(one[:4]) for one in kubectl.calls()} == {tuple(given)}


def test_a_list_loads_nothing_that_it_does_not_need(kubectl: Fake) -> None:
    """Issue 7: the plugin starts within 150 ms beyond kubectl's own time."""
    kubectl.tell([worlds.held()])
    program = (
        "import sys\nfrom mesh7_cli import plugin\n"
        "code = plugin.exit_code(['requests', '--no-headers'])\n"
        "heavy = {'pydantic', 'yaml', 'rich', 'http.client', 'concurrent.futures', 'asyncio',\n"
        "         'mesh7_core.compiling', 'mesh7_core.policy.cel', 'cryptography', 'hashlib'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr, done.stdout[: len(ID)]) == (0, "", ID)


@pytest.mark.promise("C3")
def test_laptop_and_cluster_print_the_same_of_the_same_request(
    kubectl: Fake, capsys: Capture, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Issue 7: same words and output, one implementation with two backends."""
    kubectl.tell([worlds.held()])
    plugin.exit_code(["requests", "-o", "json"])
    (found,) = json.loads(capsys.readouterr().out)
    plugin.exit_code(["requests"])
    plugin.exit_code(["show", ID])
    by_cluster = capsys.readouterr().out
    state = tmp_path_factory.mktemp("state")
    with serve(state, Book(requests={ID: found})):
        main.exit_code(["requests", "--state", str(state)])
        main.exit_code(["show", ID, "--state", str(state)])
    assert _timeless(capsys.readouterr().out) == _timeless(by_cluster).replace("1.10", "1.1")


def _timeless(text: str) -> str:
    return re.sub(r"  +|\d+[dhms]( \d+[hms])?", " ", text)
