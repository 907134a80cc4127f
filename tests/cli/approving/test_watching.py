"""`kubectl mesh7 watch` on a real terminal, and where there is none."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from mesh7_cli import exits
from tests.cli.approving import worlds
from tests.cli.approving.worlds import ID, OTHER, Fake, Object
from tests.cli.terminal import Terminal, running

PROGRAM = ("-c", "from mesh7_cli.plugin import main; main()")
IDLE = "nothing waits, watching (q quits)\n"
PROMPT = "[a]pprove  [d]eny  [s]kip  [?]  [q]uit > "
# Each watch has a pipe of its own, so that the end of one is no other's.
_RELAY = """\
#!/bin/sh
cd "${0%/*}"
case "$*" in
*watch=1*)
    echo $$ >>watching
    number=0
    while read -r _; do number=$((number + 1)); done <watching
    exec /bin/cat "changes.$number";;
esac
exec "$PWD/held" "$@"
"""
_MOST_WATCHES = 3


class Cluster:
    """A kubectl in PATH whose watch tells what it is given here."""

    def __init__(self, folder: Path, fake: Fake) -> None:
        self.fake = fake
        self._folder = folder
        (folder / "kubectl").rename(folder / "held")
        (folder / "kubectl").write_text(_RELAY)
        (folder / "kubectl").chmod(0o755)
        self._watches = iter(range(1, _MOST_WATCHES + 1))
        for number in range(1, _MOST_WATCHES + 1):
            os.mkfifo(folder / f"changes.{number}")

    @contextmanager
    def watched(self) -> Iterator["Watch"]:
        """The next connection, as soon as somebody watches; it ends with the block."""
        with (self._folder / f"changes.{next(self._watches)}").open("w") as pipe:
            yield Watch(pipe)

    def watchers(self) -> list[int]:
        """Every kubectl that watched."""
        return [int(line) for line in (self._folder / "watching").read_text().split()]


class Watch:
    """What an API server tells."""

    def __init__(self, pipe: TextIO) -> None:
        self._pipe = pipe

    def tell(self, kind: str, value: Object) -> None:
        """One change."""
        self._pipe.write(json.dumps({"type": kind, "object": value}) + "\n")
        self._pipe.flush()


@pytest.fixture
def cluster(kubectl: Fake, tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "bin", kubectl)


def _denied(name: str) -> Object:
    return worlds.closed(
        worlds.held(name), "Denied", "denied", decisions=[worlds.said("jane", "Deny")]
    )


def _watching() -> AbstractContextManager[Terminal]:
    return running(["watch", "-n", "shop"], PROGRAM)


@pytest.mark.promise("A11", "C3")
def test_a_card_shows_the_call_and_one_key_hands_in_the_grant(cluster: Cluster) -> None:
    """Issue 7: a live table; decide from the keyboard."""
    cluster.fake.tell([worlds.held()], said={"*": worlds.COUNTED}, after={ID: worlds.APPROVED})
    with _watching() as terminal, cluster.watched():
        card = terminal.until(PROMPT)
        assert '    "amount": 900,\n    "id": 1.10\n' in card
        drawn = terminal.until("usable once", pressing="a")
        assert f"approved `{ID}`: billing.create_refund for shop/support" in drawn
        terminal.until(IDLE)
        assert terminal.end(pressing="q") == exits.Exit.OK
    (grant,) = cluster.fake.made()
    assert grant["spec"]["requestRef"] == {"name": ID, "uid": f"uid-{ID}"}
    assert grant["spec"]["digest"] == worlds.DIGEST


@pytest.mark.promise("A11")
def test_what_is_decided_elsewhere_makes_room_for_the_next(cluster: Cluster) -> None:
    """Live: what changes elsewhere is seen here."""
    cluster.fake.tell([worlds.held()])
    with _watching() as terminal, cluster.watched() as watch:
        terminal.until(PROMPT)
        cluster.fake.tell([_denied(ID), worlds.held(OTHER)])
        watch.tell("ADDED", worlds.held(OTHER))
        terminal.until("2 wait in all\n")
        watch.tell("MODIFIED", _denied(ID))
        terminal.until(f"`{ID}` is denied now, decided elsewhere\n")
        assert OTHER in terminal.until(PROMPT)
        assert terminal.end(pressing="q") == exits.Exit.OK
    assert cluster.fake.made() == []


@pytest.mark.promise("A1", "A11")
@pytest.mark.parametrize(
    "changed", [{"digest": f"sha256:{'3' * 64}"}, {"uid": "uid-of-another"}], ids=["digest", "uid"]
)
@pytest.mark.parametrize("options", [["watch", "-n", "shop"], ["watch", "-A"]], ids=["one", "all"])
def test_a_key_decides_about_the_card_that_is_shown_and_not_about_who_took_its_id(
    cluster: Cluster, changed: dict[str, str], options: list[str]
) -> None:
    """An attack: the id is opened anew for another call while its card lies there."""
    cluster.fake.tell([worlds.held()])
    with running(options, PROGRAM) as terminal, cluster.watched():
        terminal.until(PROMPT)
        other = worlds.held()
        other["metadata"]["uid"] = changed.get("uid", other["metadata"]["uid"])
        other["spec"]["digest"] = changed.get("digest", other["spec"]["digest"])
        cluster.fake.tell([other])
        terminal.until("is for another call than the one that was looked at", pressing="a")
        assert terminal.end(pressing="q") == exits.Exit.OK
    assert cluster.fake.made() == []


def test_of_all_namespaces_a_call_is_decided_in_its_own(cluster: Cluster) -> None:
    """`watch -A`: the Grant is made where the pod is."""
    cluster.fake.tell([worlds.held(namespace="lab")])
    with running(["watch", "-A"], PROGRAM) as terminal, cluster.watched():
        terminal.until(PROMPT)
        terminal.until("leaves it waiting): ", pressing="d")
        terminal.press("not today\n")
        terminal.until("kubectl mesh7 show")
        terminal.until("-n lab")
        assert terminal.end(pressing="q") == exits.Exit.OK
    (grant,) = cluster.fake.made()
    assert (grant["metadata"]["namespace"], grant["spec"]["effect"]) == ("lab", "Deny")


def test_a_lost_watch_is_begun_anew(cluster: Cluster) -> None:
    """An API server restarts; a person sees what waits then."""
    with _watching() as terminal:
        with cluster.watched():
            terminal.until(IDLE)
            cluster.fake.tell([worlds.held()])
        with cluster.watched():
            assert ID in terminal.until(PROMPT)
            assert terminal.end(pressing="q") == exits.Exit.OK


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_no_kubectl_behind(cluster: Cluster, number: signal.Signals) -> None:
    """Issue 7: the child is ended on exit."""
    with _watching() as terminal, cluster.watched():
        terminal.until(IDLE)
        terminal.signal(number)
        assert terminal.end() == exits.Exit.INTERRUPTED
    (watcher,) = cluster.watchers()
    with pytest.raises(ProcessLookupError):
        os.kill(watcher, 0)


@pytest.mark.promise("A11")
def test_off_a_terminal_each_change_is_a_line_and_nothing_is_decided(cluster: Cluster) -> None:
    """No prompts off a terminal."""
    cluster.fake.tell([worlds.held()])
    process = subprocess.Popen(
        [sys.executable, *PROGRAM, "watch", "-n", "shop", "-o", "json"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        with cluster.watched() as watch:
            watch.tell("MODIFIED", _denied(ID))
            found = [json.loads(process.stdout.readline()) for _ in range(2)]
            process.terminate()
            process.wait(30)
    finally:
        process.kill()
        process.communicate()
    assert [(one["id"], one["state"]) for one in found] == [(ID, "pending"), (ID, "denied")]
    assert cluster.fake.made() == []


def test_who_may_not_look_is_told_and_nothing_is_tried_for_ever(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit 1, with the ClusterRole that gives the right."""
    cluster.fake.tell([], forbidden=["list approvalrequests"])
    done = subprocess.run(
        [sys.executable, *PROGRAM, "watch", "-n", "shop"],
        stdin=subprocess.DEVNULL, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == exits.Exit.WRONG
    assert "ClusterRole `mesh7-viewer`" in capfd.readouterr().err


def test_off_a_terminal_each_change_may_be_a_document(cluster: Cluster) -> None:
    """Defect C: `watch` had no `-o yaml`, as everything else that programs read."""
    cluster.fake.tell([worlds.held()])
    process = subprocess.Popen(
        [sys.executable, *PROGRAM, "watch", "-n", "shop", "-o", "yaml"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "---\n"
        assert process.stdout.readline() == f"id: {ID}\n"
    finally:
        process.terminate()
        process.communicate()
