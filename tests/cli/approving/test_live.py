"""Changes of held calls as a cluster tells them: listed, then watched from there."""

import json
from collections.abc import Generator, Iterable

import pytest

from mesh7_cli import changes, reading
from mesh7_cli.approving import live
from mesh7_cli.backend import Object
from mesh7_cli.cluster.kubectl import Kubectl
from mesh7_core import errors
from tests.cli.approving import worlds
from tests.cli.approving.worlds import ID, OTHER

HELD = worlds.held()
DENIED = worlds.closed(HELD, "Denied", "denied by `jane`", decisions=[worlds.said("jane", "Deny")])


class Told(Kubectl):
    """Lists these and then tells these changes."""

    def __init__(self, listed: Iterable[object], *told: str) -> None:
        super().__init__()
        self._listed = list(listed)
        self._told = told
        self.paths: list[str] = []

    def ran(
        self, *arguments: str, stdin: str | None = None, requests: int = 1
    ) -> tuple[int, str, str]:
        del stdin, requests
        self.paths.append(arguments[-1])
        return 0, json.dumps({"metadata": {"resourceVersion": "42"}, "items": self._listed}), ""

    def lines(self, *arguments: str) -> Generator[str]:
        self.paths.append(arguments[-1])
        yield from self._told


def _change(kind: str, value: object) -> str:
    return json.dumps({"type": kind, "object": value}) + "\n"


def _events(kubectl: Told, namespace: str | None = "shop") -> list[changes.Event]:
    return list(live.ClusterChanges(kubectl, namespace).told())


def _states(events: Iterable[changes.Event]) -> list[tuple[str, str]]:
    """Of what changed after the list."""
    return [
        (reading.text(one.request, "id"), reading.text(one.request, "state"))
        for one in events
        if isinstance(one, changes.Changed)
    ]


def test_what_is_open_is_listed_and_watched_from_there() -> None:
    """No change falls between list and watch: it begins at the list's version."""
    kubectl = Told([HELD, worlds.closed(worlds.held(OTHER), "Used", "it ran")])
    (listed,) = _events(kubectl)
    assert isinstance(listed, changes.Listed)
    assert [reading.text(one, "id") for one in listed.requests] == [ID]
    path = "/apis/mesh7.dev/v1alpha1/namespaces/shop/approvalrequests"
    assert kubectl.paths == [
        f"{path}?limit=2000",
        f"{path}?watch=1&allowWatchBookmarks=true&timeoutSeconds=300&resourceVersion=42",
    ]


def test_changes_are_told_as_they_come() -> None:
    """Issue 7: a live table."""
    kubectl = Told(
        [],
        _change("ADDED", HELD),
        _change("BOOKMARK", {"metadata": {"resourceVersion": "50"}}),
        _change("MODIFIED", DENIED),
        _change("DELETED", DENIED),
    )
    assert _states(_events(kubectl)) == [(ID, "pending"), (ID, "denied")]


def test_a_request_that_goes_with_its_namespace_waits_no_more() -> None:
    """Nobody says anything about it any more."""
    kubectl = Told([HELD], _change("DELETED", HELD))
    assert _states(_events(kubectl)) == [(ID, "gone")]


def test_of_all_namespaces_each_has_its_own_in_its_id() -> None:
    """Names are unique in a namespace alone."""
    kubectl = Told([HELD], _change("ADDED", worlds.held(namespace="lab")))
    listed, changed = _events(kubectl, None)
    assert isinstance(listed, changes.Listed)
    assert [reading.text(one, "id") for one in listed.requests] == [f"shop/{ID}"]
    assert _states([changed]) == [(f"lab/{ID}", "pending")]
    assert kubectl.paths[0] == "/apis/mesh7.dev/v1alpha1/approvalrequests?limit=2000"


def test_a_watch_that_is_too_old_is_begun_anew() -> None:
    """410 Gone is how an API server says so: all is listed again."""
    expired = {"kind": "Status", "code": 410, "message": "too old resource version"}
    kubectl = Told([], _change("ERROR", expired), _change("ADDED", HELD))
    assert _states(_events(kubectl)) == []


def test_another_error_is_told() -> None:
    """It is tried again, and the person knows why nothing comes."""
    kubectl = Told([], _change("ERROR", {"code": 500, "message": "etcd is away"}))
    with pytest.raises(errors.ClusterError, match="etcd is away"):
        _events(kubectl)


@pytest.mark.parametrize("line", ["no JSON\n", "[]\n", "{}\n", '{"type": "ADDED"}\n'])
def test_what_is_no_change_is_passed_over_or_harmless(line: str) -> None:
    """A proxy in between may write anything."""
    assert all(state == "pending" for _, state in _states(_events(Told([], line))))


def test_arguments_keep_their_spelling() -> None:
    """`1.10` is what the tool will get."""
    (listed,) = _events(Told([HELD]))
    assert isinstance(listed, changes.Listed)
    shown: Object = listed.requests[0]
    assert str(reading.one(shown, "arguments")["id"]) == "1.1"
    assert "1.10" in repr(getattr(reading.one(shown, "arguments")["id"], "text", ""))
