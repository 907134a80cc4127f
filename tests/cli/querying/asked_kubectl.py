"""A program `kubectl` over an audit in a file, with the controller's own rooms behind it.

It is started as a program of its own: `e2e/api/test_audit_queries.py` asks the real ones.
"""

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

OURS = re.compile(
    r"/apis/mesh7.dev/v1alpha1/namespaces/([^/]+)/auditqueries(?:/([^/?]+))?(?:\?.*)?"
)


class RefusedError(Exception):
    """What is written to stderr."""


def main() -> None:
    folder = Path(__file__).parent
    world = json.loads((folder / "world.json").read_text())
    given = sys.stdin.read() if "create" in sys.argv else ""
    with (folder / "calls").open("a") as log:
        log.write(json.dumps([sys.argv[1:], given]) + "\n")
    words = [one for one in sys.argv[1:] if not one.startswith("-")]
    flags = dict(one.lstrip("-").partition("=")[::2] for one in sys.argv[1:] if one[0] == "-")
    try:
        sys.stdout.write(_answer(folder, world, words, flags, given))
    except RefusedError as error:
        sys.stderr.write(str(error))
        sys.exit(1)


def _answer(folder: Path, world: Any, words: list[str], flags: dict[str, str], given: str) -> str:
    match words:
        case ["config", "view"]:
            return "shop"
        case ["auth", "whoami"]:
            return str(world.get("person", "jane"))
        case ["get", "namespaces"]:
            items = [{"metadata": {"name": name}} for name in sorted(world["streams"])]
            return json.dumps({"items": items})
        case ["get", "configmap", name]:
            return _config_map(world, name)
        case ["create"]:
            return _create(folder, world, flags["raw"], json.loads(given))
        case ["get", path]:
            return _get(folder, world, path)
        case ["delete"]:
            _file(folder, flags["raw"]).unlink(missing_ok=True)
            return "{}"
        case _:
            raise RefusedError(f"error: unknown command {words[0]!r}")


def _create(folder: Path, world: Any, address: str, manifest: Any) -> str:
    namespace = _meant(address)[0]
    if namespace in world.get("forbidden", ()):
        raise RefusedError(
            "Error from server (Forbidden): auditqueries.mesh7.dev is forbidden: User "
            f'"{world.get("person", "jane")}" cannot create resource "auditqueries" in API group '
            f'"mesh7.dev" in the namespace "{namespace}"'
        )
    manifest["status"] = _status(world, namespace, manifest["spec"])
    _file(folder, f"{address.partition('?')[0]}/{manifest['metadata']['name']}").write_text(
        json.dumps(manifest)
    )
    return json.dumps(manifest)


def _get(folder: Path, world: Any, path: str) -> str:
    if world.get("interrupt"):
        # Ctrl-C, while the controller's answer is waited for.
        os.kill(os.getppid(), signal.SIGINT)
    file = _file(folder, path)
    if world.get("vanishes"):
        file.unlink()
    if not file.exists():
        raise RefusedError(f'Error from server (NotFound): auditqueries "{file.name}" not found')
    return file.read_text()


def _status(world: Any, namespace: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What the controller says of it, at once; it knows what a stream holds."""
    if "status" in world:
        found: dict[str, Any] = world["status"]
        return found
    # All of it only here: kubectl is started often.
    sys.path.insert(0, world["root"])
    from mesh7_operator.anchoring import following  # noqa: PLC0415
    from mesh7_operator.anchoring.anchor import Anchor  # noqa: PLC0415
    from mesh7_operator.anchoring.verifying import verify  # noqa: PLC0415
    from mesh7_operator.querying import questions, verdicts  # noqa: PLC0415
    from mesh7_operator.querying.answers import Answer  # noqa: PLC0415
    from tests.operator.querying import trails  # noqa: PLC0415

    trail = trails.Trail(namespace=namespace)
    for lines in world["streams"][namespace]:
        trail.write(*(line.encode() for line in lines))
    question = questions.read(asked)
    assert isinstance(question, questions.Question), question
    if question.is_verify:
        anchor = following.follow(Anchor(namespace=namespace), trail.entries).anchor
        return dict(verdicts.status(verify(trail.entries[: world.get("left", 99)], anchor)))
    answer = Answer(question, namespace)
    while not answer.is_full:
        answer.take(trail.page(answer.before))
    return dict(answer.status())


def _config_map(world: Any, name: str) -> str:
    found = world.get("maps", {}).get(name)
    if found == "forbidden":
        raise RefusedError(
            'Error from server (Forbidden): configmaps is forbidden: User "jane" cannot get '
            'resource "configmaps" in API group "" in the namespace "mesh7-system"'
        )
    if found is None:
        raise RefusedError(f'Error from server (NotFound): configmaps "{name}" not found')
    return json.dumps({"metadata": {"name": name}, "data": found})


def _meant(address: str) -> tuple[str, str]:
    found = OURS.fullmatch(address)
    assert found is not None, address
    return found[1], found[2] or ""


def _file(folder: Path, address: str) -> Path:
    namespace, name = _meant(address)
    (folder / "queries").mkdir(exist_ok=True)
    return folder / "queries" / f"{namespace}--{name}"


if __name__ == "__main__":
    main()
