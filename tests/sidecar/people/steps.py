"""Run as a program: a process that asks a gateway over its unix socket, or an agent that does.

    python steps.py ask '{"socket", "method", "target", "body", "headers", …}'
    python steps.py agent '{"socket", "launcher": […], "port", "ask": {…}}'
    python steps.py tool '{"socket", "ask": {…}}'
    python steps.py join SOCKET

`tool` begins a session, and lives in it while a command of its own asks.
`agent` is connected by `mesh7 stdio`, or to `port` when one is given.
`ask` takes its steps in this order, each when it is named: `handed` (connect, and go on in a
child when the process that connected has ended), `orphan` (fork, and go on when the
parent has ended), `detach` (the same in a session of its own), `terminal` (the path of one, which
becomes its own), `closed` (these descriptors), `uid` and `gid`. Then it writes the answer as
`{"status", "body"}` to descriptor `out`. The standard library alone.
"""

import fcntl
import http.client
import json
import os
import socket
import subprocess
import sys
import termios
from typing import Any


class Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


def ask(step: dict[str, Any]) -> None:
    """Take the steps, ask, and write down the answer."""
    out = step.get("out", 1)
    connection = Connection(step["socket"])
    if step.get("handed"):
        connection.connect()
        leave_parent()
    if step.get("orphan") or step.get("detach"):
        leave_parent()
    if step.get("detach"):
        os.setsid()
        leave_parent()
    if step.get("terminal"):
        take_terminal(step["terminal"])
    for descriptor in step.get("closed", []):
        os.close(descriptor)
    if "uid" in step:
        os.setgroups([])
        os.setgid(step["gid"])
        os.setuid(step["uid"])
    os.write(out, json.dumps(_asked(step, connection)).encode() + b"\n")


def leave_parent() -> None:
    """Go on as a child whose parent has ended."""
    parent = os.getpid()
    if os.fork():
        os._exit(0)
    while os.getppid() == parent:
        os.sched_yield()


def take_terminal(path: str) -> None:
    """Make it the controlling terminal of a session of our own."""
    if os.getsid(0) != os.getpid():
        os.setsid()
    terminal = os.open(path, os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def _asked(step: dict[str, Any], connection: Connection) -> dict[str, Any]:
    body = step.get("body")
    headers = dict(step.get("headers", {}))
    if body is not None:
        headers.setdefault("content-type", "application/json")
    connection.request(
        step["method"], step["target"], None if body is None else json.dumps(body), headers
    )
    answer = connection.getresponse()
    return {"status": answer.status, "body": answer.read().decode()}


def join(path: str) -> None:
    """Be a `mesh7 stdio`: joined until stdin ends."""
    connection = Connection(path)
    connection.request("GET", "/control/join")
    answer = connection.getresponse()
    answer.readline()
    os.write(1, b"joined\n")
    sys.stdin.read()


def agent(step: dict[str, Any]) -> None:
    """Start a `mesh7 stdio`, then a command that asks, as an agent with a shell does."""
    if step.get("terminal"):
        take_terminal(step["terminal"])
    command = [sys.executable, "-I", "-S", __file__]
    if "port" in step:
        with socket.create_connection(("127.0.0.1", step["port"])):
            run(step, command)
        return
    joining = subprocess.Popen(
        [*step.get("launcher", []), *command, "join", step["socket"]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert joining.stdout is not None
    assert joining.stdout.readline() == b"joined\n"
    run(step, command)
    joining.communicate(b"")


def tool(step: dict[str, Any]) -> None:
    """Be the first process of a session, as the gateway's children are, and start what asks."""
    if os.getsid(0) != os.getpid():
        os.setsid()
    run(step, [sys.executable, "-I", "-S", __file__])


def run(step: dict[str, Any], command: list[str]) -> None:
    """Run what asks, and pass its answer on."""
    wanted = {**step["ask"], "socket": step["socket"]}
    read, write = os.pipe()
    os.set_inheritable(write, True)  # noqa: FBT003 - the os module's signature
    wanted["out"] = write
    asking = [*step.get("wrapper", []), *command, "ask", json.dumps(wanted)]
    subprocess.run(asking, check=False, close_fds=False)
    os.close(write)
    with open(read, "rb") as answers:  # noqa: PTH123 - a descriptor
        os.write(1, answers.readline())


if __name__ == "__main__":
    word, text = sys.argv[1:]
    if word == "join":
        join(text)
    elif word == "ask":
        ask(json.loads(text))
    elif word == "tool":
        tool(json.loads(text))
    else:
        agent(json.loads(text))
