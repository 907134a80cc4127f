"""A program `kubectl` over the objects of held calls in a file, for what no cluster does at will.

It is started as a program of its own: `e2e/api/test_plugin_approvals.py` asks the real one.
"""

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

OURS = "/apis/mesh7.dev/v1alpha1"
KINDS = {
    "approvalrequests": "ApprovalRequest",
    "grants": "Grant",
    "agentpolicies": "AgentPolicy",
    "namespace": "Namespace",
    "pod": "Pod",
    "serviceaccount": "ServiceAccount",
}


class RefusedError(Exception):
    """What is written to stderr."""


def main() -> None:
    folder = Path(__file__).parent
    if (folder / "interrupt").exists() and "/grants/" in " ".join(sys.argv):
        # Ctrl-C, while the controller's answer is waited for.
        os.kill(os.getppid(), signal.SIGINT)
    file = folder / "world.json"
    world = json.loads(file.read_text())
    given = sys.stdin.read() if "create" in sys.argv else ""
    with (folder / "calls").open("a") as log:
        log.write(json.dumps(sys.argv[1:]) + "\n")
    code, out, err = answered(world, sys.argv[1:], given)
    if {"create", "delete"} & set(sys.argv):
        # Questions are asked side by side, and change nothing.
        file.write_text(json.dumps(world))
    sys.stdout.write(out)
    sys.stderr.write(err)
    sys.exit(code)


def answered(world: Any, arguments: list[str], given: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr; the world may be another after it."""
    words = [one for one in arguments if not one.startswith("-")]
    flags = dict(one.lstrip("-").partition("=")[::2] for one in arguments if one.startswith("-"))
    if world.get("stderr"):
        return 1, "", world["stderr"]
    try:
        return _answer(world, words, flags, given)
    except RefusedError as error:
        return 1, "", str(error)


def _answer(
    world: Any, words: list[str], flags: dict[str, str], given: str
) -> tuple[int, str, str]:
    match words:
        case ["config", "view"]:
            return 0, world.get("namespace", "shop"), ""
        case ["auth", "can-i", *_]:
            return (0, "yes\n", "") if world.get("may", False) else (1, "no\n", "")
        case ["auth", "whoami"]:
            return 0, world.get("person", "jane"), ""
        case ["get", path] if path.startswith(OURS):
            return 0, json.dumps(_read(world, path)), ""
        case ["get", kind, name]:
            if f"get {kind}" in world.get("forbidden", ()):
                _allow(world, "get", kind, flags.get("namespace", ""))
            return 0, json.dumps(_one(world, kind, flags.get("namespace", ""), name)), ""
        case ["get", "serviceaccounts" | "pods"]:
            return 0, "\n".join(world.get("names", ())), ""
        case ["create"]:
            return 0, json.dumps(_create(world, flags["raw"], json.loads(given))), ""
        case ["delete"]:
            return 0, json.dumps(_delete(world, flags["raw"])), ""
        case _:
            raise RefusedError(f"error: unknown command {words[0]!r}")


def _read(world: Any, address: str) -> Any:
    kind, namespace, name, query = _meant(address)
    _allow(world, "get" if name else "list", kind, namespace)
    if name:
        return _one(world, kind, namespace, name)
    found = [
        one
        for one in world["objects"]
        if one["kind"] == KINDS[kind] and namespace in ("", one["metadata"]["namespace"])
    ]
    begin = int(query.get("continue", ["0"])[0])
    size = min(int(query["limit"][0]), world.get("page", 1000))
    metadata = {"continue": str(begin + size)} if begin + size < len(found) else {}
    return {"metadata": metadata, "items": found[begin : begin + size]}


def _create(world: Any, address: str, manifest: Any) -> Any:
    kind, namespace, _, query = _meant(address)
    _allow(world, "create", kind, namespace)
    policy = manifest["spec"].get("policyRef", {}).get("name")
    if policy in world.get("refused", {}):
        name = manifest["metadata"]["name"]
        raise RefusedError(
            f'Error from server (Forbidden): grants.mesh7.dev "{name}" is forbidden: '
            f"{world['refused'][policy]}"
        )
    manifest["metadata"] |= {"uid": "u-1", "creationTimestamp": "2026-11-21T10:01:00Z"}
    manifest["spec"]["grantedBy"] = {"username": world.get("person", "jane"), "stamp": "s"}
    if "dryRun" in query:
        return manifest
    world["objects"].append(manifest)
    said = world.get("said", {})
    status = said.get(policy, said.get("*"))
    if status is not None:
        # The controller, at once.
        stored = json.loads(json.dumps(manifest)) | {"status": status}
        world["objects"][-1] = stored
    for one in world["objects"]:
        if one["metadata"]["name"] in world.get("after", {}):
            one["status"] = world["after"][one["metadata"]["name"]]
    return manifest


def _delete(world: Any, address: str) -> Any:
    kind, namespace, name, query = _meant(address)
    _allow(world, "delete", kind, namespace)
    found = _one(world, kind, namespace, name)
    if "dryRun" not in query:
        world["objects"].remove(found)
    return {"kind": "Status", "status": "Success"}


def _one(world: Any, kind: str, namespace: str, name: str) -> Any:
    for one in world["objects"]:
        where = one["metadata"].get("namespace", "")
        if one["kind"] == KINDS[kind] and one["metadata"]["name"] == name and where == namespace:
            return one
    raise RefusedError(f'Error from server (NotFound): {kind}.mesh7.dev "{name}" not found')


def _allow(world: Any, verb: str, kind: str, namespace: str) -> None:
    if kind in world.get("unknown", ()):
        raise RefusedError(
            "Error from server (NotFound): the server could not find the requested resource"
        )
    if {f"{verb} {kind}", f"{verb} {kind} {namespace}"} & {*world.get("forbidden", ())}:
        where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
        raise RefusedError(
            f"Error from server (Forbidden): {kind}.mesh7.dev is forbidden: User "
            f'"{world.get("person", "jane")}" cannot {verb} resource "{kind}" in API group '
            f'"mesh7.dev"{where}'
        )


def _meant(address: str) -> tuple[str, str, str, dict[str, list[str]]]:
    """Kind, namespace, name, query."""
    parts = urlsplit(address)
    found = re.fullmatch(r"(?:/namespaces/([^/]+))?/([a-z]+)(?:/([^/]+))?", parts.path[len(OURS) :])
    assert found is not None, address
    namespace, kind, name = (unquote(one or "") for one in found.groups())
    return kind, namespace, name, parse_qs(parts.query)


if __name__ == "__main__":
    main()
