"""Golden pods; `python -m tests.core.injection.goldens` writes anew what comes out.

A case is a folder of tests/golden/injection: `pod.yaml`, and of `namespace.yaml`, `injection.yaml`
and `cluster.yaml` those that differ from the folder `default`. One of `out.yaml`, `refused.yaml`
and `skipped.yaml` says what becomes of it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mesh7_core.injection import settings
from mesh7_core.injection.inject import Cluster, Namespace, Source, inject
from mesh7_core.injection.outcomes import Injected, Outcome, Refused, Skipped
from mesh7_core.injection.settings import Settings
from mesh7_core.injection.shapes import Object

FOLDER = Path(__file__).parents[2] / "golden" / "injection"
DEFAULT = "default"
CASES = sorted(path.name for path in FOLDER.iterdir() if path.name != DEFAULT)
ANSWERS = ("out.yaml", "refused.yaml", "skipped.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is put in."""

    pod: Object
    namespace: Namespace
    settings: Settings
    cluster: Cluster

    def outcome(self) -> Outcome:
        # Mirror pods are among them, and nothing else depends on who makes a pod.
        return inject(self.pod, self.namespace, self.settings, self.cluster, is_nodes=True)


class _Plain(yaml.SafeDumper):
    """Without anchors: a golden file is read by people."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Plain.add_representer(str, _block)


def case(name: str) -> Case:
    """The case of that name."""
    place = _read(name, "namespace.yaml")["metadata"]
    around = _read(name, "cluster.yaml")
    return Case(
        pod=_read(name, "pod.yaml"),
        namespace=Namespace(
            name=place["name"], labels=place["labels"], annotations=place["annotations"]
        ),
        settings=settings.read(_text(name, "injection.yaml")),
        cluster=Cluster(
            trust_key=around["trustKey"],
            authorities=around["authorities"],
            api_server=around.get("apiServer", ""),
            sources=tuple(
                Source(
                    name=one["name"],
                    kind=one["kind"],
                    has_plain_credential=one.get("hasPlainCredential", False),
                )
                for one in around["sources"]
            ),
            has_network_policy=around["hasNetworkPolicy"],
        ),
    )


def answer(outcome: Outcome) -> tuple[str, str]:
    """The file that says it, and its text."""
    match outcome:
        case Injected(pod=pod, level=level, warnings=warnings):
            head = "".join(f"# warning: {one}\n" for one in warnings)
            return "out.yaml", f"# level: {level}\n{head}{_written(pod)}"
        case Skipped(reason=reason, warnings=warnings):
            return "skipped.yaml", _written({"reason": reason.value, "warnings": list(warnings)})
        case Refused(problems=problems):
            told = [
                {"reason": one.reason.value, "path": one.path, "message": one.message}
                for one in problems
            ]
            return "refused.yaml", _written(told)


def committed(name: str) -> tuple[str, str]:
    """The file that says what becomes of the case, and its text."""
    (path,) = (FOLDER / name / one for one in ANSWERS if (FOLDER / name / one).exists())
    return path.name, path.read_text("utf-8")


def _written(value: object) -> str:
    return yaml.dump(value, Dumper=_Plain, sort_keys=False, width=1000, allow_unicode=True)


def _text(name: str, file: str) -> str:
    own = FOLDER / name / file
    return (own if own.exists() else FOLDER / DEFAULT / file).read_text("utf-8")


def _read(name: str, file: str) -> dict[str, Any]:
    found = yaml.safe_load(_text(name, file))
    assert isinstance(found, dict)
    return found


def _write() -> None:
    for name in CASES:
        for one in ANSWERS:
            (FOLDER / name / one).unlink(missing_ok=True)
        file, text = answer(case(name).outcome())
        (FOLDER / name / file).write_text(text, "utf-8")


if __name__ == "__main__":
    _write()
