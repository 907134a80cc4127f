"""The program kubectl, as a real process: missing, slow, interrupted, given secrets."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mesh7_cli import plugin
from mesh7_cli.cluster import looking
from mesh7_cli.cluster.errors import KubectlError, UnreachableError
from mesh7_cli.cluster.kubectl import Kubectl, Object
from tests.cli.plugin.worlds import Fake

_PROGRAM = (sys.executable, "-c", "from mesh7_cli.plugin import main; main()")
_PATIENCE_S = 30.0


def test_without_kubectl_it_says_what_to_install(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 6: clear errors when kubectl is missing."""
    kubectl.remove()
    assert plugin.exit_code(["status"]) == 1
    assert capsys.readouterr().err == (
        "error: no `kubectl` in PATH – install kubectl 1.30 or newer beside mesh7\n"
    )


def test_a_kubectl_that_does_not_end_is_ended(kubectl: Fake) -> None:
    """docs/reference/kubectl-mesh7.md: never longer than --request-timeout and 15 seconds."""
    kubectl.tell([], sleep=60)
    slow = Kubectl(request_timeout="100ms", grace_s=0.4)
    with pytest.raises(KubectlError, match=r"kubectl did not end within 0 s \(it said nothing\)"):
        slow.text("get", "pods")


def test_a_long_list_has_time_for_each_of_its_pages(kubectl: Fake) -> None:
    """docs/reference/kubectl-mesh7.md: --request-timeout is of a page of 500."""
    kubectl.tell([], sleep=1.5)
    slow = Kubectl(request_timeout="500ms", grace_s=0.4)
    with pytest.raises(KubectlError, match="did not end"):
        slow.json("get", "pods")
    assert slow.listed("get", "pods") == {"kind": "List", "items": []}
    assert "--chunk-size=500" in kubectl.calls()[-1]


def test_the_first_error_ends_what_is_asked_beside_it() -> None:
    """One that does not answer is told before a long list has run out of time."""
    ended: list[bool] = []
    event = threading.Event()

    def long(_: Kubectl) -> Object:
        ended.append(event.wait(_PATIENCE_S))
        return {}

    def broken(_: Kubectl) -> Object:
        raise UnreachableError("nobody answers")

    with pytest.raises(UnreachableError):
        looking.look_together(Kubectl(), {"long": long, "broken": broken})
    assert ended == []
    event.set()


def test_a_kubectl_that_was_just_about_to_start_is_ended_too(kubectl: Fake) -> None:
    """A Ctrl-C at that moment left the program waiting for it until it was done by itself."""
    kubectl.tell([], sleep=60)
    told, ended = threading.Event(), threading.Event()

    def late(one: Kubectl) -> Object:
        told.wait(_PATIENCE_S)
        try:
            return one.json("get", "pods")
        finally:
            ended.set()

    def broken(_: Kubectl) -> Object:
        told.set()
        raise UnreachableError("nobody answers")

    with pytest.raises(UnreachableError):
        looking.look_together(Kubectl(), {"late": late, "broken": broken})
    assert ended.wait(_PATIENCE_S)


def test_what_is_no_json_is_told(kubectl: Fake) -> None:
    (kubectl.folder / "kubectl").write_text("#!/bin/sh\necho hello\n")
    with pytest.raises(KubectlError, match="did not answer in JSON"):
        Kubectl().json("get", "pods")


def test_a_token_reaches_kubectl_and_nobody_else(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 6: never log tokens."""
    kubectl.tell([], stderr="error: something else")
    assert plugin.exit_code(["--token=s3cr3t", "status", "-n", "shop"]) == 1
    seen = capsys.readouterr()
    assert "--token=s3cr3t" in kubectl.calls()[0]
    assert seen.err == "error: kubectl failed: something else\n"
    assert "s3cr3t" not in seen.out


def test_ctrl_c_ends_it_and_its_kubectl_with_a_line_end_alone(kubectl: Fake) -> None:
    """Issue 6: Ctrl-C is clean."""
    kubectl.tell([], sleep=60)
    process = subprocess.Popen(
        [*_PROGRAM, "status", "-A"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, env=dict(os.environ),
    )  # fmt: skip
    try:
        _await(kubectl.folder / "started", process)
        # To us alone, as `kill -INT` does; a terminal would tell kubectl, too.
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=_PATIENCE_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert (process.returncode, out, err) == (130, b"", b"\n")


def _await(path: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        os.sched_yield()
