"""`kubectl mesh7 audit`, `trace` and `explain ID`, by what they print and hand in."""

import base64
import json
from typing import Any

import pytest
import yaml

from mesh7_cli import plugin
from mesh7_cli.querying import anchors
from mesh7_core.delivery import keys
from mesh7_operator.anchoring import following, writing
from mesh7_operator.anchoring.anchor import Anchor
from tests.cli.querying.worlds import Fake
from tests.operator.querying.trails import BEGAN_MS, CHAIN, Trail, line

Capture = pytest.CaptureFixture[str]
TRACE = "0123456789abcdef0123456789abcdef"
REQUEST = "r-m3kq7zt2w5xhcv4bnasy6dpfeu"
LINES = [
    [line(BEGAN_MS), line(BEGAN_MS + 1, "billing.charge", decision="Deny")],
    [line(BEGAN_MS + 1000, traceId=TRACE, durationMs=12.5)],
]
SHOP = {"shop": LINES}
TWO = {"shop": LINES, "lab": [[line(BEGAN_MS + 500, "git.push")]]}
KEY = keys.SigningKey(b"k" * 32)


def _ids(text: str) -> list[str]:
    return [one["id"] for one in json.loads(text)["records"]]


@pytest.mark.promise("C3", "T5")
def test_the_audit_is_a_table_newest_first(kubectl: Fake, capsys: Capture) -> None:
    """docs/reference/kubectl-mesh7.md, audit: the laptop's table."""
    kubectl.tell(SHOP)
    assert plugin.exit_code(["audit"]) == 0
    heads, *rows = capsys.readouterr().out.splitlines()
    assert heads.split() == ["TIME", "WHAT", "TOOL", "AGENT", "OUTCOME", "TOOK", "ID", "WHY"]
    assert [row.split()[1:4] for row in rows] == [
        ["Allow", "billing.refund", "shop/support"],
        ["Deny", "billing.charge", "shop/support"],
        ["Allow", "billing.refund", "shop/support"],
    ]
    assert kubectl.left() == []


@pytest.mark.promise("T5")
def test_what_is_asked_is_said_in_the_question_with_who_asks(kubectl: Fake) -> None:
    """The API server's own audit log then has all of it."""
    kubectl.tell(SHOP, person="jane@example.com")
    options = [
        "--agent", "support", "--pod", "p", "--tool", "billing.*", "--decision", "deny",
        "--reason", "denied-by-rule", "--outcome", "ok", "--rule", "a/b", "--deeds",
        "--trace", TRACE, "--request", REQUEST, "--since", "2026-11-21T10:00:00+01:00",
        "--until", "2026-11-22T00:00:00.5Z", "--limit", "7", "--cursor", "17-3.5",
    ]  # fmt: skip
    assert plugin.exit_code(["audit", *options]) == 0
    assert kubectl.asked() == [{
        "requestedBy": "jane@example.com", "agent": "support", "pod": "p", "tool": "billing.*",
        "decision": "Deny", "reason": "denied-by-rule", "outcome": "ok", "rule": "a/b",
        "deeds": True, "trace": TRACE, "request": REQUEST, "since": "2026-11-21T09:00:00Z",
        "until": "2026-11-22T00:00:00.500000Z", "limit": 7, "cursor": "17-3.5",
    }]  # fmt: skip


def test_pages_follow_each_other_by_the_cursor(kubectl: Fake, capsys: Capture) -> None:
    kubectl.tell(SHOP)
    assert plugin.exit_code(["audit", "--limit", "2", "-o", "json"]) == 0
    first = capsys.readouterr().out
    assert _ids(first) == [f"{CHAIN}-3", f"{CHAIN}-2"]
    cursor = json.loads(first)["cursor"]
    assert plugin.exit_code(["audit", "--limit", "2", "-o", "yaml", "--cursor", cursor]) == 0
    rest = yaml.safe_load(capsys.readouterr().out)
    assert [one["id"] for one in rest["records"]] == [f"{CHAIN}-1"]
    assert "cursor" not in rest
    assert plugin.exit_code(["audit", "--limit", "1"]) == 0
    assert f"older ones: the same again with --cursor {cursor.partition('-')[0][:3]}" in (
        capsys.readouterr().err
    )


def test_a_question_that_was_not_finished_in_one_turn_is_asked_on(
    kubectl: Fake, capsys: Capture
) -> None:
    """A filter that few agree with, over a long audit: the controller takes turns."""
    kubectl.tell(SHOP, status={"phase": "Done", "records": [], "scanned": 9, "cursor": "17-3"})
    assert plugin.exit_code(["audit", "--decision", "Hold"]) == 0
    found = capsys.readouterr()
    assert "90 records were looked at, and there are older ones" in found.err
    assert len(kubectl.asked()) == 10
    assert [one.get("cursor") for one in kubectl.asked()] == [None, *["17-3"] * 9]
    assert kubectl.left() == []


def test_one_record_a_line_is_what_was_written(kubectl: Fake, capsys: Capture) -> None:
    kubectl.tell(SHOP)
    assert plugin.exit_code(["audit", "-o", "jsonl", "--limit", "1"]) == 0
    (found,) = capsys.readouterr().out.splitlines()
    assert json.loads(found)["id"] == f"{CHAIN}-3"


@pytest.mark.promise("C3")
def test_all_namespaces_are_merged_and_go_on_by_time(kubectl: Fake, capsys: Capture) -> None:
    kubectl.tell(TWO)
    assert plugin.exit_code(["audit", "-A", "-o", "json"]) == 0
    tools = [one["tool"] for one in json.loads(capsys.readouterr().out)["records"]]
    assert tools == ["billing.refund", "git.push", "billing.charge", "billing.refund"]
    assert plugin.exit_code(["audit", "-A", "--limit", "2"]) == 0
    assert "the same again with --until 2026-11-21T11:02:16.500000Z" in capsys.readouterr().err
    assert plugin.exit_code(["audit", "-A", "--cursor", "17-3"]) == 2
    assert "a cursor is of one namespace" in capsys.readouterr().err
    assert kubectl.left() == []


def test_of_all_namespaces_those_are_shown_that_one_may_see(kubectl: Fake, capsys: Capture) -> None:
    kubectl.tell(TWO, forbidden=["shop"])
    assert plugin.exit_code(["audit", "-A", "-o", "json"]) == 0
    found = capsys.readouterr()
    assert [one["tool"] for one in json.loads(found.out)["records"]] == ["git.push"]
    assert "have an administrator bind ClusterRole `mesh7-auditor`" in found.err


@pytest.mark.promise("C3", "T5")
def test_without_the_right_it_says_which_role_gives_it(kubectl: Fake, capsys: Capture) -> None:
    kubectl.tell(SHOP, forbidden=["shop"])
    for words in (["audit"], ["audit", "-A"], ["audit", "verify"], ["trace", TRACE]):
        assert plugin.exit_code(words) == 1
        assert capsys.readouterr().err == (
            "error: `jane` may not create auditqueries.mesh7.dev in namespace `shop` – have an "
            "administrator bind ClusterRole `mesh7-auditor` (kubectl create rolebinding in `shop`)"
            "\n"
        )


@pytest.mark.parametrize(
    ("phase", "said"),
    [
        ({}, "no controller of mesh7 looked at the question within 0 s – `kubectl mesh7 check`"),
        ({"phase": "Pending"}, "not answered within 0 s, and it waits or is being answered"),
    ],
)
def test_an_answer_that_does_not_come_is_not_waited_for_without_end(
    kubectl: Fake, capsys: Capture, phase: dict[str, str], said: str
) -> None:
    kubectl.tell(SHOP, status=phase)
    assert plugin.exit_code(["audit", "--wait", "100ms"]) == 1
    assert said in capsys.readouterr().err
    assert kubectl.left() == []


def test_what_the_controller_cannot_know_is_an_error_in_its_words(
    kubectl: Fake, capsys: Capture
) -> None:
    kubectl.tell(SHOP, status={"phase": "Failed", "message": "Redis does\nnot answer"})
    assert plugin.exit_code(["audit"]) == 1
    assert capsys.readouterr().err == (
        "error: audit of namespace `shop`: Redis does\\nnot answer\n"
    )
    assert kubectl.left() == []


def test_a_question_that_somebody_deletes_is_told(kubectl: Fake, capsys: Capture) -> None:
    kubectl.tell(SHOP, vanishes=True)
    assert plugin.exit_code(["audit"]) == 1
    assert "was deleted before it was answered – ask again" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["audit"], ["audit", "-A"], ["audit", "verify"]])
def test_ctrl_c_leaves_no_question_behind(kubectl: Fake, words: list[str]) -> None:
    """Its answer would lie there for whoever may list them."""
    kubectl.tell(SHOP, interrupt=True)
    assert plugin.exit_code(words) == 130
    assert kubectl.left() == []


def _anchor(namespace: str = "shop", key: keys.SigningKey = KEY, entries: int = 9) -> Any:
    trail = Trail()
    for block in LINES:
        trail.write(*block)
    anchor = following.follow(Anchor(namespace=namespace), trail.entries[:entries]).anchor
    return writing.manifest(anchor, key, (), release_namespace="mesh7-system")["data"]


def _maps(anchor: Any, trust: keys.SigningKey = KEY) -> dict[str, Any]:
    public = base64.b64encode(trust.public).decode()
    return {"mesh7-audit-shop": anchor, "mesh7-trust": {"key": public}}


@pytest.mark.promise("C3", "T5")
def test_a_sound_audit_is_said_with_what_was_checked_here(kubectl: Fake, capsys: Capture) -> None:
    kubectl.tell(SHOP, maps=_maps(_anchor()))
    assert plugin.exit_code(["audit", "verify"]) == 0
    assert capsys.readouterr().out == (
        "shop: sound\n"
        "  records   3 in 2 entries of 1 chains were held against their hashes\n"
        "  anchor    signed by the controller, vouches until 2026-11-21T11:02:17.000Z\n"
        "  here      the anchor is signed by a key of this release\n"
    )
    assert kubectl.left() == []


@pytest.mark.promise("T5")
def test_a_cut_end_is_found_and_placed_and_the_exit_code_says_so(
    kubectl: Fake, capsys: Capture
) -> None:
    kubectl.tell(SHOP, maps=_maps(_anchor()), left=1)
    assert plugin.exit_code(["audit", "verify"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("shop: NOT sound, 1 finding\n")
    assert f"  cut       pod support-7d9f, chain {CHAIN}, block 2: " in out
    assert plugin.exit_code(["audit", "verify", "-o", "json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["namespaces"]
    assert (found["sound"], found["controller"]["findings"][0]["kind"]) == (False, "cut")
    assert found["here"] == {
        "checked": True, "sound": True, "says": "the anchor is signed by a key of this release",
    }  # fmt: skip


@pytest.mark.promise("T5")
@pytest.mark.parametrize(
    ("maps", "says"),
    [
        (
            _maps(_anchor(key=keys.SigningKey(b"m" * 32))),
            "the anchor is signed by another key than that of ConfigMap mesh7-trust",
        ),
        (
            _maps(_anchor() | {"anchor": _anchor(entries=1)["anchor"]}),
            "the anchor is not the one that was signed",
        ),
        (_maps(_anchor("lab")), "the anchor is another namespace's"),
        (_maps({"anchor": "{}"}), "the anchor is none that mesh7 writes"),
        (
            _maps(_anchor(entries=1)),
            (
                "the anchor ends at 2026-11-21T11:02:16.000Z, and the controller vouches until "
                "2026-11-21T11:02:17.000Z"
            ),
        ),
        (
            {"mesh7-trust": _maps({})["mesh7-trust"]},
            "the anchor that the controller vouches by is gone",
        ),
        (_maps(_anchor()) | {"mesh7-trust": {}}, "ConfigMap mesh7-trust has no key"),
    ],
)
def test_attack_an_anchor_that_was_tampered_with_is_found_here(
    kubectl: Fake, capsys: Capture, maps: dict[str, Any], says: str
) -> None:
    """Whoever can write ConfigMaps of the release namespace is found by the signature."""
    kubectl.tell(SHOP, maps=maps)
    assert plugin.exit_code(["audit", "verify"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("shop: NOT sound\n")
    assert f"  here      {says}\n" in out


def test_a_key_that_follows_the_trusted_one_vouches_too() -> None:
    """While a rotation is on its way."""
    older = keys.SigningKey(b"o" * 32)
    link = keys.endorse(older, KEY.public)
    anchor = following.follow(Anchor(namespace="shop"), ()).anchor
    data = writing.manifest(anchor, KEY, (link,), release_namespace="mesh7-system")["data"]
    assert isinstance(data, dict)
    trusted = base64.b64encode(older.public).decode()
    assert anchors.check(data, trusted, "shop").is_ours
    assert not anchors.check(data | {"links": "["}, trusted, "shop").is_ours


def test_whoever_may_not_read_the_anchor_has_the_controllers_word(
    kubectl: Fake, capsys: Capture
) -> None:
    kubectl.tell(SHOP, maps={"mesh7-audit-shop": "forbidden", "mesh7-trust": {}})
    assert plugin.exit_code(["audit", "verify"]) == 0
    assert (
        "  here      this person may not read the anchor, so this is the controller's word – bind "
        "Role mesh7-anchors-reader in namespace `mesh7-system` to check it here\n"
    ) in capsys.readouterr().out


def test_the_signature_has_the_same_purpose_on_both_sides() -> None:
    assert anchors.PURPOSE == writing.PURPOSE


@pytest.mark.promise("C3")
def test_a_trace_is_drawn_of_a_clusters_records(kubectl: Fake, capsys: Capture) -> None:
    kubectl.tell(SHOP)
    assert plugin.exit_code(["trace", TRACE]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"trace {TRACE}, 1 call\n")
    assert ("shop/support" in out, "policy.evaluate" in out) == (True, True)
    assert plugin.exit_code(["trace", f"{CHAIN}-3", "-A", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["traceId"] == TRACE
    assert kubectl.left() == []


@pytest.mark.promise("C3")
def test_a_decision_is_explained_by_its_record_alone(kubectl: Fake, capsys: Capture) -> None:
    kubectl.tell(SHOP)
    assert plugin.exit_code(["explain", f"{CHAIN}-2"]) == 0
    assert "billing.charge" in capsys.readouterr().out
    assert plugin.exit_code(["explain", "mouse"]) == 2
    assert "name the TOOL that the pod would call, or the ID of an audit record" in (
        capsys.readouterr().err
    )


def test_an_id_that_no_record_of_a_pod_has_is_not_asked_for(kubectl: Fake, capsys: Capture) -> None:
    kubectl.tell(SHOP)
    assert plugin.exit_code(["explain", "support-7"]) == 1
    assert "there is no record or request `support-7` – " in capsys.readouterr().err
    assert [one.get("request") for one in kubectl.asked()] == ["support-7", None]


def test_an_option_before_verify_is_not_passed_over(kubectl: Fake, capsys: Capture) -> None:
    kubectl.tell(SHOP)
    assert plugin.exit_code(["audit", "-A", "verify"]) == 2
    assert "write options after `verify`" in capsys.readouterr().err
