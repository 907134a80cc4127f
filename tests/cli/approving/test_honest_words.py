"""What the commands about held calls say is so: defects that a reviewer found, each by its name."""

import itertools
import json
import subprocess
import sys

import pytest
import yaml

from mesh7_cli import plugin
from mesh7_cli.approving import handing_in
from mesh7_cli.approving.cluster import Cluster, Manner
from mesh7_cli.cluster.errors import UnreachableError
from tests.cli.approving import worlds
from tests.cli.approving.worlds import ID, OTHER, Fake, Near

Capture = pytest.CaptureFixture[str]
WISH = ["grant", "billing.create_refund", "--for", "30m", "--reason", "INC-1", "--agent", "support"]
UNANSWERED = "no controller has answered yet – see `kubectl mesh7 grants -n shop`"
END = "(needs `delete` on grants)"


def test_a_kill_that_no_controller_answers_does_not_say_killed(
    kubectl: Fake, capsys: Capture
) -> None:
    """Defect A1: with no controller it said that every call is refused, and exited 0."""
    kubectl.tell([worlds.namespaced("ServiceAccount", "support")])
    assert plugin.exit_code(["kill", "support", "--wait", "1s"]) == 1
    (made,) = kubectl.made()
    assert capsys.readouterr() == (
        (
            "handed in: every call of `support` is refused as soon as a controller answers – lift "
            f"it with `kubectl mesh7 revoke {made['metadata']['name']} -n shop` {END}\n"
        ),
        f"mesh7: {UNANSWERED}\n",
    )


def test_a_kill_that_nobody_waits_for_does_not_say_killed(kubectl: Fake, capsys: Capture) -> None:
    """Defect A1, with `--wait 0s`."""
    kubectl.tell([worlds.namespaced("ServiceAccount", "support")])
    assert plugin.exit_code(["kill", "support", "--wait", "0s"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("handed in: every call of `support` is refused as soon as a controller ")
    assert err == ""


def test_a_permission_that_no_controller_answers_does_not_say_granted(
    kubectl: Fake, capsys: Capture
) -> None:
    """Defect A1, of the other verb that hands in what is to stand."""
    kubectl.tell([worlds.policy()])
    assert plugin.exit_code([*WISH, "--wait", "0s"]) == 0
    out, _ = capsys.readouterr()
    assert out.startswith("handed in `hand-")
    assert ", as soon as a controller answers – end it with" in out


def test_who_may_not_see_service_accounts_is_told_that_the_name_was_not_checked() -> None:
    """Defect A1: a misspelled agent passed for one that is there, as an approver may not look."""
    said = {"*": worlds.fate("True", "Valid", "it is valid", "Active")}
    kubectl = Near([], said=said, forbidden=["get serviceaccount"])
    made = Cluster(kubectl, "shop", lambda: "n0").kill("suport", "")
    assert made["note"] == (
        "that there is a service account `suport` in namespace `shop` could not be checked, you "
        "may not see them – is it spelled as `kubectl mesh7 requests -n shop` shows agents?"
    )


def test_ctrl_c_while_a_yes_is_waited_for_says_that_it_is_handed_in(kubectl: Fake) -> None:
    """Defect A6: it was silent, and the Grant stood."""
    kubectl.tell([worlds.held()])
    kubectl.interrupt()
    program = (
        "import signal\nfrom mesh7_cli import plugin\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"plugin.main(['approve', {ID!r}, '--wait', '30s'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    (made,) = kubectl.made()
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.strip() == (
        "mesh7: your yes is handed in all the same – `kubectl mesh7 revoke "
        f"{made['metadata']['name']} -n shop` takes it back {END}"
    )


def test_an_error_after_the_first_of_two_grants_says_that_one_is_in() -> None:
    """Defect B18: the second failed with anything but Forbidden, and the first was not told of."""

    class Leaving(Near):
        def ran(
            self, *arguments: str, stdin: str | None = None, requests: int = 1
        ) -> tuple[int, str, str]:
            if self.made() and arguments[0] == "create":
                return 1, "", "Unable to connect to the server: dial tcp: refused"
            return super().ran(*arguments, stdin=stdin, requests=requests)

    kubectl = Leaving([worlds.held(rules=[worlds.rule(), worlds.rule("board")])])
    names = itertools.count()
    with pytest.raises(UnreachableError) as told:
        Cluster(kubectl, "shop", lambda: f"n{next(names)}").decide("approve", ID, "")
    assert told.value.message.endswith(
        f"; your yes is handed in all the same – `kubectl mesh7 revoke {ID}-refunds-n0 -n shop` "
        f"takes it back {END}"
    )


def test_an_answer_is_asked_for_less_and_less_often() -> None:
    """Defect B19: a kubectl every 0.1 s for each Grant, for up to `--wait`."""
    assert [*itertools.islice(handing_in.pauses(), 6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


@pytest.mark.parametrize("verb", [WISH, [*WISH, "--dry-run=client"]])
def test_a_grant_without_our_kinds_does_not_say_that_nobody_asks(
    kubectl: Fake, capsys: Capture, verb: list[str]
) -> None:
    """Defect A9: without the CRDs it said `no rule asks people about`."""
    kubectl.tell([], unknown=["agentpolicies", "grants"])
    assert plugin.exit_code(verb) == 1
    assert capsys.readouterr().err == (
        "error: the API server does not know what is asked of it – mesh7's own kinds come with the "
        "chart mesh7-crds\n"
    )


def test_the_baseline_is_no_matter_where_a_policy_of_the_namespace_asks() -> None:
    """Defect A9: every approver was told to have a role bound that the Grant does not need."""
    valid = {"*": worlds.fate("True", "Valid", "it is valid", "Active")}
    hidden = ["list agentpolicies mesh7-system"]
    wish = {"tool": "billing.create_refund", "forSeconds": 60, "reason": "x", "agent": "support"}
    own = Near([worlds.policy()], said=valid, forbidden=hidden)
    assert Cluster(own, "shop", lambda: "n0", Manner()).grant(wish).get("note") is None
    none = Near([], said=valid, forbidden=hidden)
    with pytest.raises(
        Exception, match=r"may not list agentpolicies.* in namespace `mesh7-system`"
    ):
        Cluster(none, "shop", lambda: "n0", Manner()).grant(wish)


@pytest.mark.parametrize(
    ("objects", "arguments", "line", "note"),
    [
        ([], ["-n", "nosuch"], "in namespace `nosuch` (-A looks into all)",
         "mesh7: there is no namespace `nosuch` – `kubectl get namespaces`\n"),
        ([worlds.enrolled("lab", team="a")], ["-n", "lab"],
         "in namespace `lab` (-A looks into all)",
         ("mesh7: namespace `lab` is not enrolled, no agent is guarded there – `kubectl label "
         "namespace lab mesh7.dev/injection=enabled`\n")),
        ([worlds.enrolled()], [], "in namespace `shop` (-A looks into all)", ""),
        ([], ["-A"], "in any namespace", ""),
    ],
)  # fmt: skip
def test_nothing_waits_says_where_and_whether_anybody_could_ask_there(
    kubectl: Fake,
    capsys: Capture,
    objects: list[worlds.Object],
    arguments: list[str],
    line: str,
    note: str,
) -> None:
    """Defect A10: the same words for a wrong namespace, none at all, and one without agents."""
    kubectl.tell(objects)
    assert plugin.exit_code(["requests", *arguments]) == 0
    assert capsys.readouterr() == (f"nothing waits {line}\n", note)


def test_who_may_not_see_the_namespace_is_told_nothing_of_it(
    kubectl: Fake, capsys: Capture
) -> None:
    """Defect A10; ClusterRole mesh7-viewer shows no Namespaces, and needs none."""
    kubectl.tell([], forbidden=["get namespace"])
    assert plugin.exit_code(["requests"]) == 0
    assert capsys.readouterr().err == ""


def test_an_approved_call_does_not_wait_beside_another(kubectl: Fake, capsys: Capture) -> None:
    """Defect A11: `show` listed approved requests under `also waiting`."""
    beside = worlds.held(OTHER, tool="billing.cancel") | {"status": worlds.APPROVED}
    kubectl.tell([worlds.held(), beside])
    assert plugin.exit_code(["show", ID]) == 0
    assert "also waiting" not in capsys.readouterr().out


@pytest.mark.parametrize(("state", "is_usable"), [("Approved", True), ("Used", False)])
def test_a_used_call_is_not_said_to_be_usable(
    kubectl: Fake, capsys: Capture, state: str, *, is_usable: bool
) -> None:
    """Defect A11: the line `usable until` stood in the card of one that had run."""
    status = worlds.status(state, "…", usableUntil="2999-01-01T00:00:00Z")
    kubectl.tell([worlds.held() | {"status": status}])
    assert plugin.exit_code(["show", ID]) == 0
    assert ("\nusable " in capsys.readouterr().out) is is_usable


@pytest.mark.parametrize("verb", ["approve", "deny"])
def test_an_answer_says_its_grants_to_programs(kubectl: Fake, capsys: Capture, verb: str) -> None:
    """Defects A5 and C: `approve` never printed the Grant's name, and had no `-o`."""
    kubectl.tell([worlds.held()])
    assert plugin.exit_code([verb, ID, "--wait=false", "-o", "name"]) == 0
    (made,) = kubectl.made()
    name = made["metadata"]["name"]
    assert capsys.readouterr() == (f"grant.mesh7.dev/{name}\n", "")
    kubectl.tell([worlds.held()])
    assert plugin.exit_code([verb, "r-missing", ID, "--wait=false", "-o", "json"]) == 1
    (after,) = json.loads(capsys.readouterr().out)
    assert (after["id"], after["isHandedIn"], len(after["answers"])) == (ID, True, 1)
    assert plugin.exit_code([verb, ID, "--dry-run", "-o", "name"]) == 0
    assert capsys.readouterr().out.startswith(f"grant.mesh7.dev/{ID}-refunds-")


def test_what_was_revoked_is_said_to_programs(kubectl: Fake, capsys: Capture) -> None:
    """Defect C: `revoke` had no `-o`."""
    kubectl.tell([worlds.granted(), worlds.granted("hand-other")])
    assert plugin.exit_code(["revoke", "hand-abcde", "-o", "name"]) == 0
    assert capsys.readouterr().out == "grant.mesh7.dev/hand-abcde\n"
    assert plugin.exit_code(["revoke", "hand-other", "-o", "yaml"]) == 0
    (was,) = yaml.safe_load(capsys.readouterr().out)
    assert (was["name"], was["tools"]) == ("hand-other", ["billing.create_refund"])
    assert kubectl.made() == []


def test_show_takes_the_forms_that_lists_take(kubectl: Fake, capsys: Capture) -> None:
    """Defect C: `show` had no `-o wide` and no `-o name`."""
    kubectl.tell([worlds.held()])
    assert plugin.exit_code(["show", f"approvalrequest.mesh7.dev/{ID}", "-o", "name"]) == 0
    assert capsys.readouterr().out == f"approvalrequest.mesh7.dev/{ID}\n"
    assert plugin.exit_code(["show", ID, "-o", "wide"]) == 0
    assert capsys.readouterr().out.startswith("request     ")
