"""What stands in for a broken document: ordinary documents that deny, as wide as they have to.

Of the broken one only whom it bears on is kept, part by part, where the compiler can read it.
Pure: no clock, no network, no logging.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mesh7_core import names
from mesh7_core.api.manifests import Document
from mesh7_core.compiling import compiler

NAME_OF_EVERYTHING: Final = "mesh7-refused"

_FAMILIES: Final = ("tools", "resources", "prompts")
_WHOM: Final = ("selector", "serviceAccounts", "namespaceSelector")
_NO_LINES: Final = 0


def of_policy(broken: Document) -> Document | None:
    """A policy of the same name that denies everything to those whom the broken one selects.

    A selector that cannot be read selects everybody. `mode: Audit` stays, so that a trial of a
    policy stops nobody; but then nothing stands in for it if anything of whom it selects cannot be
    read, for whom audit policies alone select is forwarded.
    """
    spec, name = _spec(broken), _name(broken)
    reason = f"policy `{name}` does not compile, its status says why"
    fence = _document(broken, name, {"selector": {}, **_denying(reason)})
    for part in _WHOM:
        fence = _kept(fence, spec, part)
    if spec.get("mode") != "Audit":
        return fence
    kept = _spec(fence)
    is_read = "selector" in spec and all(
        part in kept and kept[part] == spec[part] for part in _WHOM if part in spec
    )
    return _with(fence, {"mode": "Audit"}) if is_read else None


def of_veto(broken: Document) -> Document:
    """A veto of everything for the broken one's subject, up to its end.

    A subject that cannot be read is everybody, an end that cannot be read is none.
    """
    spec, name = _spec(broken), _name(broken)
    reason = f"veto `{name}` does not compile, its status says why"
    fence = _document(broken, name, {"effect": "Deny", "subject": {}, "reason": reason})
    for part in ("subject", "expiresAt"):
        fence = _kept(fence, spec, part)
    return fence


def of_everything(namespace: str) -> Document:
    """A policy that denies everything to everybody."""
    spec = {"selector": {}, **_denying("the policies of the namespace do not compile")}
    return Document(
        file=f"{names.AGENT_POLICY}/{namespace}/{NAME_OF_EVERYTHING}",
        kind=names.AGENT_POLICY,
        value={
            "apiVersion": names.API_VERSION,
            "kind": names.AGENT_POLICY,
            "metadata": {"name": NAME_OF_EVERYTHING, "namespace": namespace},
            "spec": spec,
        },
        place=_NO_LINES,
    )


def _spec(document: Document) -> Mapping[str, object]:
    spec = document.value.get("spec")
    return spec if isinstance(spec, dict) else {}


def _denying(reason: str) -> dict[str, object]:
    return {
        "defaultAction": "Deny",
        "rules": [
            {
                "name": f"deny-{family}",
                family: ["*"],
                "action": "Deny",
                "reason": reason,
            }
            for family in _FAMILIES
        ],
    }


def _name(broken: Document) -> str:
    """The broken one's name; one made of its file's if that is no name."""
    spec: dict[str, object] = (
        {"effect": "Deny", "subject": {}} if broken.kind == names.GRANT else {"selector": {}}
    )
    if _compiles(_document(broken, broken.name, spec)):
        return broken.name
    return f"refused-{hashlib.sha256(broken.file.encode()).hexdigest()[:8]}"


def _document(broken: Document, name: str, spec: Mapping[str, object]) -> Document:
    metadata = {"name": name}
    if broken.namespace is not None:
        metadata["namespace"] = broken.namespace
    value: dict[str, object] = {
        "apiVersion": names.API_VERSION,
        "kind": broken.kind,
        "metadata": metadata,
        "spec": spec,
    }
    return replace(broken, value=value, place=_NO_LINES, prefix=())


def _with(fence: Document, parts: Mapping[str, object]) -> Document:
    return replace(fence, value={**fence.value, "spec": {**_spec(fence), **parts}})


def _kept(fence: Document, spec: Mapping[str, object], part: str) -> Document:
    """The fence with a part of what was written, if it compiles with it."""
    if part not in spec:
        return fence
    narrower = _with(fence, {part: spec[part]})
    return narrower if _compiles(narrower) else fence


def _compiles(fence: Document) -> bool:
    release = fence.namespace if fence.is_baseline else None
    compiled = compiler.compile_set(
        (fence,),
        namespace=names.DEFAULT_NAMESPACE if fence.is_baseline else fence.namespace,
        in_cluster=True,
        release_namespace=release or names.RELEASE_NAMESPACE,
    )
    return compiled.bundle is not None
