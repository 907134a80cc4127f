"""What every story stands on: an installed release, a namespace, agents and tools that talk.

A story is a folder: README.md says in a sentence what happens, `*.yaml` is what people apply, and
test_*.py is its course. Manifests take `${NAMESPACE}`; the programs of agents and tools are in
`programs/` and come into the pods as ConfigMap `programs`.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Final

from e2e.cluster.clusters import Cluster
from e2e.cluster.kubectl import Kubectl, KubectlError
from e2e.cluster.waiting import ClusterError, until
from e2e.stories import last_words
from mesh7_core import names

PROGRAMS: Final = Path(__file__).with_name("programs")
PATIENCE_S: Final = 60.0
Line = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One namespace in which something happens.

    Attributes:
        folder: of its manifests.
    """

    cluster: Cluster
    namespace: str
    folder: Path

    @property
    def kubectl(self) -> Kubectl:
        """The administrator's."""
        return self.cluster.kubectl

    def apply(self, *names: str, **values: str) -> None:
        """Apply manifests of the story, or of `common/` where it has no such one.

        Args:
            names: of files, without `.yaml`.
            values: of further `${NAME}` in them.
        """
        for name in names:
            self.cluster.apply(self.written(name, **values), self.namespace)

    def refusal(self, *names: str, **values: str) -> str:
        """Apply them, and answer why that is refused; empty when it is not."""
        try:
            self.apply(*names, **values)
        except KubectlError as error:
            return error.stderr
        return ""

    def written(self, name: str, **values: str) -> str:
        """One of the manifests, with its values."""
        path = self.folder / f"{name}.yaml"
        if not path.exists():
            path = PROGRAMS.parent / "common" / f"{name}.yaml"
        return Template(path.read_text()).substitute({"NAMESPACE": self.namespace, **values})

    def raise_level(self, level: str) -> None:
        """Have the namespace ask for a level, and wait until its NetworkPolicy is there."""
        self.kubectl("label", "namespace", self.namespace, f"{names.ENFORCEMENT}={level}")
        self.until(
            lambda: (
                names.NETWORK_POLICY in self.kubectl("get", "networkpolicy", "-n", self.namespace)
            ),
            "the controller writes the NetworkPolicy",
        )

    def editor(self) -> Kubectl:
        """Somebody who holds the stock role `edit` in the namespace, and nothing else."""
        user = f"editor-of-{self.namespace}"
        with contextlib.suppress(KubectlError):
            self.kubectl("create", "rolebinding", "editor", "--clusterrole=edit", f"--user={user}",
                         "-n", self.namespace)  # fmt: skip
        return self.cluster.kubectl_of(user)

    def delete(self, *what: str) -> None:
        """Delete by kind and name, at once."""
        self.kubectl(
            "delete", *what, "-n", self.namespace, "--ignore-not-found", "--grace-period=1"
        )

    def ready(self, what: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait until a pod or Deployment is ready; show what is wrong when it was in vain."""
        condition = "condition=Ready" if what.startswith("pod") else "condition=Available"
        try:
            self.kubectl.wait(condition, what, f"-n={self.namespace}", timeout_s=timeout_s)
        except KubectlError as error:
            raise ClusterError(f"{error}\n{self.state()}") from error

    def state(self) -> str:
        """What is there, for errors."""
        return last_words.state(self.cluster, self.namespace)

    def pods(self, selector: str = "") -> list[str]:
        """Names of pods."""
        chosen = ["-l", selector] if selector else []
        found = self.kubectl.json("get", "pods", "-n", self.namespace, *chosen)
        return [one["metadata"]["name"] for one in found["items"]]

    def pod(self, name: str) -> Line:
        """One pod as the API server has it."""
        return self.kubectl.json("get", "pod", name, "-n", self.namespace)

    def lines(self, pod: str, container: str) -> list[Line]:
        """What a program printed so far."""
        text = self.kubectl("logs", pod, "-c", container, "-n", self.namespace)
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def said(
        self, pod: str, call: str, *, since: float = 0.0, container: str = "agent"
    ) -> list[Line]:
        """What an agent got for one of its calls."""
        return [
            line
            for line in self.lines(pod, container)
            if line.get("call") == call and line["at"] >= since
        ]

    def decisions(self, pod: str, call: str) -> list[Line]:
        """What a pod's sidecar wrote down about one of the calls, a moment after it answered."""
        found: list[Line] = []

        def look() -> bool:
            found[:] = [line for line in self.lines(pod, "mesh7") if line.get("tool") == call]
            return bool(found)

        self.until(look, f"{call} is written down")
        return found

    def done(self, pod: str, did: str) -> list[Line]:
        """What a tool really did."""
        return [line for line in self.lines(pod, "tools") if line.get("did") == did]

    def until(self, claim: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait, and show the namespace when it was in vain."""
        try:
            until(claim, what, timeout_s=timeout_s)
        except ClusterError as error:
            raise ClusterError(f"{error}\n{self.state()}") from error

    def await_said(
        self, pod: str, call: str, claim: Callable[[Line], bool], what: str, *,
        since: float = 0.0, timeout_s: float = PATIENCE_S,
    ) -> Line:  # fmt: skip
        """The first answer to a call of which the claim holds."""
        found: list[Line] = []

        def look() -> bool:
            found[:] = [line for line in self.said(pod, call, since=since) if claim(line)]
            return bool(found)

        self.until(look, what, timeout_s)
        return found[0]

    def run(
        self, pod: str, *command: str, container: str = "agent", timeout_s: float = 30.0
    ) -> str:
        """What a command in a container prints.

        Raises:
            KubectlError: it failed.
        """
        return self.kubectl("exec", pod, "-c", container, "-n", self.namespace, "--", *command,
                            timeout_s=timeout_s)  # fmt: skip


Told = contextlib.AbstractContextManager[Story]


@contextlib.contextmanager
def told(cluster: Cluster, folder: Path, labels: Mapping[str, str]) -> Iterator[Story]:
    """A story in a namespace of its own, with the programs in it, while the block runs."""
    namespace = cluster.new_namespace(prefix=folder.name.replace("_", "-"), labels=dict(labels))
    data = {path.name: path.read_text() for path in sorted(PROGRAMS.glob("*.py"))}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "programs"}, "data": data}  # fmt: skip
    cluster.apply(json.dumps(manifest), namespace)
    try:
        yield Story(cluster=cluster, namespace=namespace, folder=folder)
    finally:
        cluster.kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")


def is_refused(reason: str) -> Callable[[Line], bool]:
    """Whether an answer is a refusal for that reason."""
    return lambda line: line.get("reason") == reason


def is_withheld(line: Line) -> bool:
    """Whether a tool was said not to exist, as one is that a rule denies whatever the arguments."""
    return line.get("reason") == "unknown-tool"


def is_text(text: str) -> Callable[[Line], bool]:
    """Whether a tool answered so."""
    return lambda line: line.get("text") == text


def took(work: Callable[[], object]) -> float:
    """How long it took, in seconds."""
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def calls(*wanted: Mapping[str, object]) -> str:
    """What CALLS of an agent takes; quoted for YAML."""
    return json.dumps(json.dumps(wanted))
