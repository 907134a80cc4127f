"""A program `kubectl` over objects in a file, for what no real cluster says on demand.

It is started as a program of its own: `e2e/api/test_plugin.py` asks the same of the real one.
"""

import json
import math
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

KINDS = {
    "namespace": "Namespace", "namespaces": "Namespace", "pods": "Pod", "pod": "Pod",
    "nodes": "Node",
    "agentpolicies.mesh7.dev": "AgentPolicy", "toolsources.mesh7.dev": "ToolSource",
    "configmap": "ConfigMap", "configmaps": "ConfigMap", "secrets": "Secret",
    "networkpolicy": "NetworkPolicy", "networkpolicies": "NetworkPolicy", "lease": "Lease",
    "service": "Service",
    "deployments": "Deployment", "daemonsets": "DaemonSet", "clusterroles": "ClusterRole",
    "clusterrolebindings": "ClusterRoleBinding", "roles": "Role", "rolebindings": "RoleBinding",
    "leases": "Lease",
    "poddisruptionbudgets": "PodDisruptionBudget",
    "customresourcedefinitions": "CustomResourceDefinition",
    "mutatingwebhookconfiguration": "MutatingWebhookConfiguration",
    "validatingwebhookconfiguration": "ValidatingWebhookConfiguration",
    "validatingadmissionpolicies": "ValidatingAdmissionPolicy",
    "validatingadmissionpolicybindings": "ValidatingAdmissionPolicyBinding",
}  # fmt: skip


def main() -> None:
    folder = Path(__file__).parent
    world = json.loads((folder / "world.json").read_text())
    with (folder / "calls").open("a") as log:
        log.write(json.dumps(sys.argv[1:]) + "\n")
    if len((folder / "calls").read_text().splitlines()) > world.get("refused_calls", math.inf):
        world["stderr"] = ""
    if world.get("sleep"):
        (folder / "started").touch()
        time.sleep(world["sleep"])
    given = sys.stdin.read() if {"create", "patch"} & set(sys.argv) else ""
    if "patch" in sys.argv:
        with (folder / "patches").open("a") as log:
            log.write(given + "\n")
    code, out, err = answered(world, sys.argv[1:], lambda: given)
    sys.stdout.write(out)
    sys.stderr.write(err)
    sys.exit(code)


def answered(world: Any, arguments: list[str], stdin: Callable[[], str]) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    try:
        return 0, _answer(world, arguments, stdin), ""
    except RefusedError as error:
        return 1, "", str(error)


class RefusedError(Exception):
    """What is written to stderr."""


def _answer(world: Any, arguments: list[str], stdin: Callable[[], str]) -> str:
    words = [one for one in arguments if not one.startswith("-")]
    flags = dict(one.lstrip("-").partition("=")[::2] for one in arguments if one.startswith("-"))
    if world.get("stderr"):
        raise RefusedError(world["stderr"])
    match words:
        case ["version"]:
            return json.dumps(world["version"])
        case ["config", "view"]:
            return str(world.get("namespace", ""))
        case ["get", path] if "raw" in flags:
            return _raw(world, path)
        case ["get", kind, *names]:
            return _got(world, kind, names, flags)
        case ["patch", kind, name]:
            if "patch" in world.get("denied", ()):
                raise RefusedError(f'Error from server (Forbidden): {kind} "{name}" is forbidden')
            return f"{kind}/{name}\n"
        case ["create"]:
            return _reviewed(world, stdin())
        case _:
            raise RefusedError(f"error: unknown command {words[0]!r}")


def _raw(world: Any, path: str) -> str:
    if "pods/proxy" in world.get("forbidden", ()) and "/proxy/" in path:
        raise RefusedError(
            'Error from server (Forbidden): pods "x" is forbidden: User "jane" cannot get resource '
            '"pods/proxy" in API group "" in the namespace "shop"'
        )
    if path not in world["raw"]:
        raise RefusedError("Error from server (NotFound): the server could not find it")
    return json.dumps(world["raw"][path])


def _got(world: Any, kind: str, names: list[str], flags: dict[str, str]) -> str:
    namespace = flags.get("namespace")
    if kind in world.get("forbidden", ()):
        where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
        raise RefusedError(
            f'Error from server (Forbidden): {kind} is forbidden: User "jane" cannot list resource '
            f'"{kind}" in API group ""{where}'
        )
    if kind in world.get("unknown", ()):
        raise RefusedError(f'error: the server doesn\'t have a resource type "{kind}"')
    chosen = flags.get("field-selector", "").removeprefix("metadata.name=")
    found = [
        one
        for one in world["objects"]
        if one["kind"] == KINDS[kind]
        and (not namespace or one["metadata"].get("namespace", namespace) == namespace)
        and (not names or one["metadata"]["name"] in names)
        and (not chosen or one["metadata"]["name"] == chosen)
        and ("selector" not in flags or flags["selector"] in one["metadata"].get("labels", {}))
    ]
    if len(names) != 1:
        return _printed(flags, {"kind": "List", "items": found})
    if found:
        return _printed(flags, found[0])
    if "ignore-not-found" not in flags:
        raise RefusedError(f'Error from server (NotFound): {kind} "{names[0]}" not found')
    return ""


def _printed(flags: dict[str, str], value: Any) -> str:
    if flags.get("output", "").startswith("jsonpath="):
        return _filled(flags["output"].removeprefix("jsonpath="), value)
    if flags.get("output") != "name":
        return json.dumps(value)
    items = value.get("items", [value])
    return "".join(f"{one['kind'].lower()}/{one['metadata']['name']}\n" for one in items)


def _filled(template: str, value: Any) -> str:
    """As much of kubectl's JSONPath as is asked of it."""
    if (each := re.fullmatch(r"\{range \.items\[\*\]\}(.*)\{end\}", template)) is not None:
        return "".join(_filled(each[1], one) for one in value["items"])
    return re.sub(r'\{(?:"(.*?)"|(.*?))\}', lambda found: _part(found, value), template)


def _part(found: re.Match[str], value: Any) -> str:
    if found[1] is not None:
        return found[1].encode().decode("unicode_escape")
    for key in re.split(r"(?<!\\)\.", found[2])[1:]:
        value = value.get(key.replace("\\.", "."), {})
    return value if isinstance(value, str) else ""


def _reviewed(world: Any, manifest: str) -> str:
    asked = json.loads(manifest)
    if asked["kind"] == "SelfSubjectReview":
        told = {"creationTimestamp": world["clock"]} if "clock" in world else {}
        return json.dumps(asked | {"metadata": told})
    found = []
    for review in asked["items"]:
        asked = review["spec"]["resourceAttributes"]
        allowed = f"{asked['verb']} {asked['resource']}" in world.get("allowed", ())
        found.append(json.dumps(review | {"status": {"allowed": allowed}}, indent=1))
    return "\n".join(found)


if __name__ == "__main__":
    main()
