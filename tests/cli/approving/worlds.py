"""Held calls as an API server has them, and a kubectl that knows them."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from mesh7_cli.cluster.kubectl import Kubectl
from tests.cli.approving import held_kubectl

Object = dict[str, Any]
ID: Final = "r-0123456789abcdefghijklmnop"
OTHER: Final = "r-zyxwvutsrqponmlkjihgfedcba"
DIGEST: Final = f"sha256:{'2' * 64}"
OPENED: Final = "2026-11-21T10:00:00Z"


def rule(
    policy: str = "refunds", *, groups: Iterable[str] = ("finance",), count: int = 1
) -> Object:
    """One that asks."""
    return {
        "rule": f"shop/{policy}/big", "groups": list(groups), "count": count, "reason": "big money",
    }  # fmt: skip


def held(name: str = ID, namespace: str = "shop", **spec: object) -> Object:
    """An ApprovalRequest that waits, as the controller makes it."""
    arguments = '{"amount":900,"id":1.10}'
    return {
        "apiVersion": "mesh7.dev/v1alpha1",
        "kind": "ApprovalRequest",
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}"},
        "spec": {
            "tool": "billing.create_refund",
            "source": {"name": "billing", "kind": "http", "host": "api.example", "path": "/live"},
            "agent": {"namespace": namespace, "serviceAccount": "support"},
            "pod": {"name": "support-7d9f", "uid": "3f0c"},
            "arguments": arguments,
            "argumentsSize": len(arguments),
            "digest": DIGEST,
            "definition": f"sha256:{'1' * 64}",
            "rules": [rule()],
            "openedAt": OPENED,
            "expiresAt": "2999-01-01T00:00:00Z",
            "traceId": "4bf9",
            "pendingOfPod": 1,
        }
        | spec,
        "status": waiting(),
    }


def closed(value: Object, state: str, message: str, **further: object) -> Object:
    """The same, with what became of it."""
    return value | {"status": status(state, message, **further)}


def waiting(*decisions: Object) -> Object:
    """The status of one that waits."""
    return status("Pending", "waits for people until 2999-01-01T00:00:00Z", decisions=decisions)


def status(state: str, message: str, **further: object) -> Object:
    """Of an ApprovalRequest."""
    ready = {"type": "Ready", "status": "True", "reason": state, "message": message}
    return {"state": state, "conditions": [ready], **further}


def said(
    who: str = "jane", verdict: str = "Approve", groups: Iterable[str] = ("finance",)
) -> Object:
    """What somebody said, in the status of a request."""
    return {
        "username": who, "groups": list(groups), "verdict": verdict, "at": "2026-11-21T10:01:00Z",
        "reason": "fine",
    }  # fmt: skip


def fate(status: str, reason: str, message: str, phase: str) -> Object:
    """The status of a Grant."""
    return {
        "phase": phase,
        "conditions": [
            {"type": "Accepted", "status": status, "reason": reason, "message": message}
        ],
    }


COUNTED: Final = fate("True", "Counted", "it counted as what `jane` says", "Active")
APPROVED: Final = status(
    "Approved",
    "was approved by `jane` at 2026-11-21T10:01:00Z, for use before 2026-11-21T10:11:00Z",
    decisions=[said()], usableUntil="2026-11-21T10:11:00Z",
)  # fmt: skip
DENIED: Final = status(
    "Denied", "was denied by `bob` at 2026-11-21T10:00:30Z", decisions=[said("bob", "Deny")]
)


def granted(name: str = "hand-abcde", namespace: str = "shop", **spec: object) -> Object:
    """A standing Grant."""
    return {
        "apiVersion": "mesh7.dev/v1alpha1",
        "kind": "Grant",
        "metadata": {
            "name": name, "namespace": namespace, "uid": "u-9",
            "creationTimestamp": "2026-11-21T10:00:00Z",
        },
        "spec": {
            "effect": "Allow",
            "subject": {"serviceAccount": "support"},
            "tools": ["billing.create_refund"],
            "policyRef": {"namespace": "shop", "name": "refunds"},
            "expiresAt": "2999-01-01T00:00:00Z",
            "maxUses": 5,
            "reason": "INC-1",
            "grantedBy": {"username": "ann"},
        }
        | spec,
        "status": fate("True", "Valid", "it is valid", "Active") | {"uses": 2},
    }  # fmt: skip


def answer(name: str, policy: str = "refunds", who: str = "jane", **parts: object) -> Object:
    """A Grant that answers the held call."""
    found = granted(name)
    found["spec"] = {
        "effect": "Allow",
        "subject": {"pod": "support-7d9f"},
        "requestRef": {"name": ID, "uid": f"uid-{ID}"},
        "digest": DIGEST,
        "policyRef": {"namespace": "shop", "name": policy},
        "grantedBy": {"username": who},
    } | parts  # fmt: skip
    return found | {"status": COUNTED}


def policy(name: str = "refunds", *, most: str = "1h") -> Object:
    """One that asks about refunds and lets itself be relaxed."""
    return {
        "apiVersion": "mesh7.dev/v1alpha1",
        "kind": "AgentPolicy",
        "metadata": {"name": name, "namespace": "shop", "uid": "u-7", "managedFields": []},
        "spec": {
            "selector": {},
            "rules": [
                {
                    "name": "big", "tools": ["billing.create_refund"], "action": "RequireApproval",
                    "approval": {"groups": ["finance"], "grantable": {"maxDuration": most}},
                }
            ],
        },
    }  # fmt: skip


def namespaced(kind: str, name: str, **parts: object) -> Object:
    """An object of Kubernetes' own."""
    return {"kind": kind, "metadata": {"name": name, "namespace": "shop"}, **parts}


def enrolled(name: str = "shop", **labels: str) -> Object:
    """A Namespace whose agents are guarded."""
    return {
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels or {"mesh7.dev/injection": "enabled"}},
    }


class Near(Kubectl):
    """The program without a process for each question."""

    def __init__(self, objects: Iterable[Object], **further: object) -> None:
        super().__init__(namespace="shop")
        self.world: Object = {"objects": list(objects), **further}
        self.calls: list[list[str]] = []

    def ran(
        self, *arguments: str, stdin: str | None = None, requests: int = 1
    ) -> tuple[int, str, str]:
        """As the program would answer."""
        del requests
        self.calls.append(list(arguments))
        return held_kubectl.answered(self.world, list(arguments), stdin or "")

    def made(self) -> list[Object]:
        """Grants that there are."""
        return [one for one in self.world["objects"] if one["kind"] == "Grant"]


class Fake:
    """A folder with `kubectl` in it, to be put into PATH."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        program = folder / "kubectl"
        text = Path(held_kubectl.__file__).read_text()
        program.write_text(f"#!{sys.executable} -IS\n{text}")
        program.chmod(0o755)
        self.tell([])

    def tell(self, objects: Iterable[Object], **further: object) -> None:
        """What there is from now on."""
        world = {"objects": list(objects), **further}
        (self._folder / "world.json").write_text(json.dumps(world))

    def interrupt(self) -> None:
        """Whoever asks for a Grant from now on gets a Ctrl-C."""
        (self._folder / "interrupt").touch()

    def made(self) -> list[Object]:
        """Grants that there are."""
        world = json.loads((self._folder / "world.json").read_text())
        return [one for one in world["objects"] if one["kind"] == "Grant"]

    def calls(self) -> list[list[str]]:
        """What it was started with."""
        path = self._folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
