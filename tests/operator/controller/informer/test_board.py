"""The board: the newest of what was told and what we wrote, and nothing that is gone."""

from dataclasses import replace
from typing import Any

import pytest

from mesh7_core import names
from mesh7_operator.controller.informer import seen
from mesh7_operator.controller.informer.board import Board
from mesh7_operator.reconciling.world import Delivered

RELEASE = "mesh7-system"


class _Marks(list[str]):
    def __call__(self, namespace: str) -> None:
        self.append(namespace)


def _policy(name: str, revision: int, uid: str = "", status: object = None) -> seen.Object:
    value: dict[str, Any] = {
        "kind": names.AGENT_POLICY,
        "metadata": {
            "name": name, "namespace": "shop", "uid": uid or name,
            "resourceVersion": str(revision), "managedFields": [{}], "annotations": {"a": "b"},
        },
        "spec": {"selector": {}},
        "status": status or {},
    }  # fmt: skip
    return seen.object_of(value)


def _namespace(name: str, *, injection: str = "enabled", revision: int = 1) -> seen.Namespace:
    return seen.Namespace(
        revision=revision,
        uid=f"namespace-{name}",
        labels={names.INJECTION_LABEL: injection},
        annotations={},
    )


def _config_map(revision: int, uid: str = "map", bundle: bytes = b"bundle") -> seen.ConfigMap:
    delivered = Delivered(bundle=bundle, overlay=None)
    return seen.ConfigMap(revision=revision, uid=uid, delivered=delivered)


def _board(*snapshots: seen.Snapshot) -> tuple[Board, _Marks]:
    marks = _Marks()
    board = Board(RELEASE, marks)
    for snapshot in snapshots:
        board.tell(snapshot)
    marks.clear()
    return board, marks


def test_what_nobody_compiles_is_not_kept() -> None:
    """Managed fields and annotations are most of an object's bytes."""
    written = _policy("support", 7).written
    assert written.value["metadata"] == {"name": "support", "namespace": "shop", "uid": "support"}


def test_a_change_of_the_baseline_marks_every_enrolled_namespace() -> None:
    board, marks = _board(
        seen.Snapshot(name="shop", namespaces=(_namespace("shop"),)),
        seen.Snapshot(name="left", namespaces=(_namespace("left", injection="no"),)),
    )
    board.tell(seen.Snapshot(name=RELEASE, policies=(_policy("fence", 9),)))
    assert marks == ["shop", RELEASE]


def test_the_release_namespace_is_never_enrolled() -> None:
    board, _ = _board(seen.Snapshot(name=RELEASE, namespaces=(_namespace(RELEASE),)))
    assert board.enrolled() == []


def test_our_own_write_counts_until_the_watch_shows_a_newer_one() -> None:
    board, _ = _board(seen.Snapshot(name="shop", config_maps=(_config_map(5),)))
    board.wrote_config_map("shop", _config_map(8, bundle=b"ours"))
    board.tell(seen.Snapshot(name="shop", config_maps=(_config_map(5),)))
    found = board.known("shop").config_map
    assert found is not None
    assert found.delivered.bundle == b"ours"
    board.tell(seen.Snapshot(name="shop", config_maps=(_config_map(9, bundle=b"theirs"),)))
    found = board.known("shop").config_map
    assert found is not None
    assert found.delivered.bundle == b"theirs"


def test_a_deletion_after_our_write_counts_and_one_before_does_not() -> None:
    board, _ = _board(seen.Snapshot(name="shop"))
    board.wrote_config_map("shop", _config_map(8))
    board.tell(seen.Snapshot(name="shop", deleted_revision=7))
    assert board.known("shop").config_map is not None
    board.tell(seen.Snapshot(name="shop", deleted_revision=9))
    assert board.known("shop").config_map is None


def test_what_we_deleted_is_not_seen_any_more_though_the_watch_is_late() -> None:
    board, _ = _board(seen.Snapshot(name="shop", config_maps=(_config_map(5),)))
    board.deleted_config_map("shop")
    board.tell(seen.Snapshot(name="shop", config_maps=(_config_map(5),)))
    assert board.known("shop").config_map is None
    board.tell(seen.Snapshot(name="shop", config_maps=(_config_map(9, uid="another"),)))
    assert board.known("shop").config_map is not None


def test_our_own_status_counts_until_the_watch_shows_it() -> None:
    board, _ = _board(seen.Snapshot(name="shop", policies=(_policy("support", 5),)))
    board.wrote_status("support", 6, {"phase": "ours"})
    assert board.known("shop").policies[0].status == {"phase": "ours"}
    later = _policy("support", 7, status={"phase": "theirs"})
    board.tell(seen.Snapshot(name="shop", policies=(later,)))
    assert board.known("shop").policies[0].status == {"phase": "theirs"}


def test_what_vanished_does_not_come_back_and_marks_its_namespace() -> None:
    snapshot = seen.Snapshot(name="shop", policies=(_policy("gone", 5), _policy("here", 6)))
    board, marks = _board(snapshot)
    board.vanished({"gone"})
    assert marks == ["shop"]
    board.tell(snapshot)
    assert [one.name for one in board.known("shop").policies] == ["here"]
    assert board.uids(names.AGENT_POLICY) == {"here"}


def test_a_config_map_of_ours_that_was_never_told_of_can_vanish() -> None:
    """Found in review: it was made and deleted while the watch was lost, and believed for ever."""
    board, marks = _board(seen.Snapshot(name="shop", namespaces=(_namespace("shop"),)))
    board.wrote_config_map("shop", _config_map(8, uid="ours"))
    assert board.uids("ConfigMap") == {"ours"}
    board.vanished({"ours"})
    assert (marks, board.known("shop").config_map) == (["shop"], None)


def _floors(bundle: str, revision: int, **more: str) -> seen.Snapshot:
    annotations = {names.BUNDLE_FLOOR_ANNOTATION: bundle, **more}
    there = replace(_namespace("shop", revision=revision), annotations=annotations)
    return seen.Snapshot(name="shop", namespaces=(there,))


@pytest.mark.promise("K12")
@pytest.mark.parametrize(
    ("after", "marked"),
    [
        (_floors("200", 2), []),
        (_floors("99", 2), ["shop"]),
        (_floors("", 2), ["shop"]),
        (_floors("none", 2), ["shop"]),
        (_floors("200", 2, other="annotation"), ["shop"]),
        (_floors("100", 1), ["shop"]),
        (replace(_floors("200", 2), policies=(_policy("support", 3),)), ["shop"]),
    ],
    ids=["raised", "lowered", "emptied", "garbled", "with more", "told again", "with a policy"],
)
def test_only_floors_that_rose_are_no_change(after: seen.Snapshot, marked: list[str]) -> None:
    """Found in review: our own floors had a namespace that cannot be written to tried for ever."""
    board, marks = _board(_floors("100", 1))
    board.tell(after)
    assert marks == marked


def test_what_is_long_gone_is_forgotten() -> None:
    snapshot = seen.Snapshot(name="shop", policies=(_policy("gone", 5), _policy("here", 6)))
    board, _ = _board(snapshot)
    board.vanished({"gone"})
    for uid in ("gone", "here"):
        board.wrote_status(uid, 9, {"phase": "ours"})
    board.prune()
    assert [one.name for one in board.known("shop").policies] == ["here"]
    board.tell(seen.Snapshot(name="shop", policies=(_policy("here", 6),)))
    board.prune()
    assert (board._gone, set(board._own_statuses)) == (set(), {"here"})  # noqa: SLF001


def test_of_two_objects_of_a_name_the_newer_one_counts() -> None:
    """The watch has not told yet that the older one was deleted."""
    both = (_policy("support", 9, uid="new"), _policy("support", 5, uid="old"))
    board, _ = _board(seen.Snapshot(name="shop", policies=both))
    assert [one.uid for one in board.known("shop").policies] == ["new"]


def test_a_namespace_is_forgotten_when_nothing_of_it_is_left() -> None:
    board, _ = _board(seen.Snapshot(name="shop", policies=(_policy("support", 5),)))
    board.forget("shop")
    assert board.names() == ["shop"]
    board.tell(seen.Snapshot(name="shop"))
    board.forget("shop")
    assert board.names() == []


def _wall(revision: int, uid: str = "wall") -> seen.NetworkPolicy:
    return seen.network_policy_of({"metadata": {"uid": uid, "resourceVersion": str(revision)}})


def test_the_network_policy_that_we_wrote_counts_until_a_newer_one_is_seen() -> None:
    board, _ = _board(seen.Snapshot(name="shop", network_policies=(_wall(5),)))
    board.wrote_network_policy("shop", _wall(8))
    board.tell(seen.Snapshot(name="shop", network_policies=(_wall(5),)))
    assert board.known("shop").network_policy == _wall(8)
    board.tell(seen.Snapshot(name="shop", network_policies=(_wall(9),)))
    assert board.known("shop").network_policy == _wall(9)


def test_a_deletion_of_the_one_kind_says_nothing_of_the_other() -> None:
    """Else what we just wrote would be written once more."""
    board, _ = _board(seen.Snapshot(name="shop"))
    board.wrote_config_map("shop", _config_map(8))
    board.wrote_network_policy("shop", _wall(8))
    board.tell(seen.Snapshot(name="shop", deleted_network_revision=9))
    assert board.known("shop").network_policy is None
    assert board.known("shop").config_map == _config_map(8)


def test_a_network_policy_that_vanished_unnoticed_is_gone() -> None:
    board, marks = _board(seen.Snapshot(name="shop", network_policies=(_wall(5),)))
    assert board.uids("NetworkPolicy") == {"wall"}
    board.vanished(["wall"])
    assert (board.known("shop").network_policy, marks) == (None, ["shop"])


def _answers(kind: str, name: str, revision: int, **spec: object) -> seen.Object:
    metadata = {
        "name": name, "namespace": "shop", "uid": name, "resourceVersion": str(revision)
    }  # fmt: skip
    value = {"kind": kind, "metadata": metadata, "spec": spec}
    return seen.request_of(value) if kind == names.APPROVAL_REQUEST else seen.object_of(value)


def test_what_answers_held_calls_is_told_apart_from_what_is_compiled() -> None:
    """Issue 7: neither a Grant for one call nor an ApprovalRequest makes a bundle anew."""
    marks, asked = _Marks(), _Marks()
    board = Board(RELEASE, marks, asked)
    there = seen.Snapshot(name="shop", namespaces=(_namespace("shop"),), deleted_revision=4)
    board.tell(there)
    assert (marks, asked) == (["shop"], ["shop"])
    exact = _answers(names.GRANT, "yes", 5, requestRef={"name": "r"})
    request = _answers(names.APPROVAL_REQUEST, "r", 6, tool="a.b")
    answered = replace(there, grants=(exact,), deleted_revision=0)
    board.tell(answered)
    board.tell(replace(answered, requests=(request,)))
    assert (len(marks), len(asked)) == (1, 3)
    standing = _answers(names.GRANT, "inc", 7, tools=["a.*"])
    board.tell(replace(answered, requests=(request,), grants=(exact, standing)))
    assert (len(marks), len(asked)) == (2, 3)
    assert [one.name for one in board.known("shop").requests] == ["r"]
    board.deleted_request("r")
    assert board.known("shop").requests == ()
    board.vanished({"yes"})
    assert (len(marks), len(asked)) == (3, 4)


def _query(name: str, revision: int, **status: object) -> seen.Object:
    metadata = {
        "name": name, "namespace": "shop", "uid": name, "resourceVersion": str(revision)
    }  # fmt: skip
    value = {"kind": names.AUDIT_QUERY, "metadata": metadata, "spec": {}, "status": status}
    return seen.query_of(value)


def test_a_question_about_the_audit_makes_nothing_else_look() -> None:
    """Attack: questions without end must not have bundles made without end."""
    marks, asked, inquired = _Marks(), _Marks(), _Marks()
    board = Board(RELEASE, marks, asked, inquired)
    there = seen.Snapshot(name="shop", namespaces=(_namespace("shop"),))
    board.tell(there)
    for each in (marks, asked, inquired):
        each.clear()
    board.tell(replace(there, queries=(_query("q", 5),)))
    assert (marks, asked, inquired) == ([], [], ["shop"])
    assert [one.name for one in board.known("shop").queries] == ["q"]
    assert board.told(names.AUDIT_QUERY) == {"q"}
    board.deleted_request("q")
    assert board.known("shop").queries == ()


def test_the_answer_to_a_question_about_the_audit_is_not_kept() -> None:
    """Up to half a megabyte, and nobody reads it here."""
    kept = _query("q", 6, phase="Done", records=["x" * 16_384])
    assert kept.written.status == {"phase": "Done"}


@pytest.mark.parametrize("written", [{"requestRef": {"name": "r"}}, {"tools": ["a.*"]}])
def test_that_somebody_deleted_a_grant_is_seen_though_a_finalizer_keeps_it(
    written: dict[str, object],
) -> None:
    """Attack: a Grant is kept, so that it looks as if nobody had taken it back."""
    marks, asked = _Marks(), _Marks()
    board = Board(RELEASE, marks, asked)
    there = seen.Snapshot(name="shop", namespaces=(_namespace("shop"),))
    board.tell(replace(there, grants=(_answers(names.GRANT, "yes", 5, **written),)))
    assert [one.is_ending for one in board.known("shop").grants] == [False]
    marks.clear()
    asked.clear()
    ending = {
        "name": "yes", "namespace": "shop", "uid": "yes", "resourceVersion": "6",
        "deletionTimestamp": "2026-11-21T12:00:00Z", "finalizers": ["example.com/kept"],
    }  # fmt: skip
    kept = seen.object_of({"kind": names.GRANT, "metadata": ending, "spec": written})
    board.tell(replace(there, grants=(kept,)))
    assert [one.is_ending for one in board.known("shop").grants] == [True]
    assert marks + asked == ["shop"]


def test_the_arguments_of_a_held_call_are_not_kept() -> None:
    """They are up to 16 KiB each, and nobody reads them here."""
    kept = _answers(names.APPROVAL_REQUEST, "r", 6, tool="a.b", arguments="x" * 16_384)
    assert kept.written.value["spec"] == {"tool": "a.b"}
