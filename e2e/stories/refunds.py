"""Refunds that agents ask for when a test says so, and people who answer: `refund/` is told so."""

import contextlib
import json
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from e2e.cluster.clusters import Cluster
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.waiting import ClusterError
from e2e.stories import inside, plugin
from e2e.stories.ground import PATIENCE_S, Line, Story

FOLDER: Final = Path(__file__).with_name("refund")
AGENT: Final = "agent"
REFUND: Final = "billing.create_refund"
_LONG_S: Final = 115.0
_SHELL: Final = 'exec env CALLS="$1" python3 $THROUGH /programs/agent.py "$2"'
"""`THROUGH` is the pod's own: a program that runs the agent within itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with a client certificate.

    Attributes:
        namespace: where they work.
    """

    cluster: Cluster
    namespace: str
    name: str
    groups: tuple[str, ...] = ()

    @property
    def kubectl(self) -> Kubectl:
        """Theirs."""
        return self.cluster.kubectl_of(self.name, self.groups)

    def types(self, *words: str) -> plugin.Done:
        """`kubectl mesh7 WORDS -n NAMESPACE`."""
        kubeconfig = self.cluster.kubeconfig(self.name, self.groups)
        return plugin.run_by(self.cluster, kubeconfig, *words, f"--namespace={self.namespace}")

    def does(self, *words: str) -> str:
        """The same, and what it prints.

        Raises:
            ClusterError: it does not exit 0.
        """
        done = self.types(*words)
        if done.returncode != 0:
            raise ClusterError(
                f"{self.name}: {words}: {done.returncode} {done.stdout}{done.stderr}"
            )
        return done.stdout


@dataclass(slots=True, kw_only=True)
class Asked:
    """One call that an agent makes now.

    Attributes:
        process: `kubectl exec`.
    """

    story: Story
    pod: str
    order: str
    process: subprocess.Popen[str]

    def answer(self, timeout_s: float = _LONG_S) -> Line:
        """What the agent got; `failed` when that was nothing that a tool or mesh7 says."""
        try:
            text, errors = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"no answer for {self.order}\n{self.story.state()}") from error
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return next((line for line in lines if "call" in line), {"failed": errors})

    def is_over(self) -> bool:
        """Whether it has been answered."""
        return self.process.poll() is not None

    def kill(self) -> None:
        """End the agent's process in its container, without a word to the sidecar."""
        inside.send(uid_of(self.story.pod(self.pod)), self.order, signal.SIGKILL)
        self.process.wait(PATIENCE_S)


def add_agent(story: Story, name: str, *, hold: str = "110s", **values: str) -> str:
    """One more pod of the agent, whose sidecar has reached its store; its name.

    Args:
        story: where.
        name: of the pod.
        hold: how long its calls are held; a test is slow at times.
        values: of what else the story's manifest of it takes.
    """
    story.apply("agent", NAME=name, HOLD=hold, **values)
    story.ready(f"pod/{name}")
    story.until(lambda: not troubles(story, name), f"the sidecar of {name} has its store")
    return name


def troubles(story: Story, pod: str) -> str:
    """What keeps a sidecar from its store; empty when nothing does."""
    address = story.pod(pod)["status"].get("podIP")
    try:
        with urllib.request.urlopen(f"http://{address}:7008/readyz", timeout=2) as answer:
            return str(json.load(answer)["store"])
    except OSError as error:
        return str(error)


@contextlib.contextmanager
def asked(
    story: Story, order: str, amount: int = 700, *, pod: str = AGENT, tool: str = "create_refund"
) -> Iterator[Asked]:
    """A call that goes on beside the block, and ends with it at the latest."""
    wanted = [{"source": "billing", "tool": tool, "arguments": {"order": order, "amount": amount}}]
    program = ("sh", "-c", _SHELL, "sh", json.dumps(wanted), order)
    process = subprocess.Popen(
        [str(story.cluster.program), f"--kubeconfig={story.cluster.admin}", "exec", pod,
         "-c", "agent", "-n", story.namespace, "--", *program],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Asked(story=story, pod=pod, order=order, process=process)
    finally:
        process.kill()
        process.communicate()


def answered(story: Story, order: str, *, pod: str = AGENT) -> Line:
    """A call, and its answer."""
    with asked(story, order, pod=pod) as call:
        return call.answer()


def requests(story: Story, order: str) -> list[Line]:
    """The ApprovalRequests of an order, oldest first."""
    found = story.kubectl.json("get", "approvalrequests", "-n", story.namespace)["items"]
    ours = [one for one in found if order in one["spec"]["arguments"]]
    return sorted(ours, key=lambda one: str(one["spec"]["openedAt"]))


def await_request(story: Story, order: str, state: str, *, pod: str = AGENT) -> Line:
    """The newest of an order and a pod, as soon as it is in this state."""
    found: list[Line] = []

    def look() -> bool:
        ours = [one for one in requests(story, order) if one["spec"]["pod"]["name"] == pod]
        found[:] = ours[-1:]
        return state_of(*found) == state if found else False

    _until(story, look, f"the request of {order} is {state}", lambda: json.dumps(found))
    return found[0]


def state_of(request: Line) -> str:
    """Of an ApprovalRequest; empty as long as it has none."""
    return str(request.get("status", {}).get("state", ""))


def name_of(one: Line) -> str:
    """Of an object."""
    return str(one["metadata"]["name"])


def uid_of(one: Line) -> str:
    """Of an object."""
    return str(one["metadata"]["uid"])


def paid(story: Story, order: str) -> list[Line]:
    """What was really paid for an order."""
    return [line for line in story.lines("billing", "tools") if line.get("order") == order]


def is_paid(order: str, amount: int = 700) -> Callable[[Line], bool]:
    """Whether an answer says that it was refunded."""
    return lambda line: line.get("text") == f"{amount} refunded for {order}"


def grants(story: Story, request: Line) -> list[Line]:
    """What people said about a request."""
    found = story.kubectl.json("get", "grants", "-n", story.namespace)["items"]
    return [
        one for one in found if one["spec"].get("requestRef", {}).get("name") == name_of(request)
    ]


def await_refused(story: Story, request: Line, username: str, reason: str) -> str:
    """Why what somebody said about a request does not count, as soon as the controller says it.

    Args:
        story: where.
        request: the ApprovalRequest.
        username: who said it.
        reason: of the condition `Accepted`.
    """
    found: list[str] = []

    def look() -> bool:
        theirs = [
            one
            for one in grants(story, request)
            if one["spec"]["grantedBy"]["username"] == username
        ]
        conditions = [c for one in theirs for c in one.get("status", {}).get("conditions", ())]
        found[:] = [one["message"] for one in conditions if one["reason"] == reason]
        return bool(found)

    _until(story, look, f"{username} is refused: {reason}", lambda: json.dumps(found))
    return found[0]


def await_event(story: Story, request: Line, reason: str) -> str:
    """What an Event on the pod that asked says of a request, as soon as it is there."""
    found: list[Line] = []
    chosen = ("--field-selector", f"involvedObject.uid={request['spec']['pod']['uid']}")

    def told() -> list[str]:
        found[:] = story.kubectl.json("get", "events", "-n", story.namespace, *chosen)["items"]
        ours = [one for one in found if name_of(request) in str(one["message"])]
        return [str(one["message"]) for one in ours if one["reason"] == reason]

    what = f"an event says {reason} of {name_of(request)}"
    _until(story, lambda: bool(told()), what, lambda: json.dumps(found))
    return told()[0]


def _until(story: Story, claim: Callable[[], bool], what: str, shown: Callable[[], str]) -> None:
    try:
        story.until(claim, what)
    except ClusterError as error:
        raise ClusterError(f"{error}\n{shown()}") from error
