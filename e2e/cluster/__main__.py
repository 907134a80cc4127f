"""Clusters by hand: `python -m e2e.cluster` up, down, status, build, load, kubectl, helm."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from e2e.cluster import api_server, binaries, endings, homes, images, node, processes
from e2e.cluster.api_server import ApiServer, Settings
from e2e.cluster.waiting import ClusterError

_NAME = "default"


def main(arguments: Sequence[str]) -> int:
    """Do one word; 1 when it could not be done, with the reason on stderr."""
    asked = _parser().parse_args(arguments)
    try:
        return _do(asked)
    except ClusterError as error:
        sys.stderr.write(f"mesh7: {error}\n")
        return 1


def _do(asked: argparse.Namespace) -> int:
    match asked.word:
        case "build":
            _show(str(binaries.build(asked.level)))
        case "up":
            _up(asked.name, asked.level)
        case "down":
            endings.end_all() if asked.all else _down(asked.name)
        case "status":
            _status()
        case "load":
            _load(asked.name, asked.archives)
        case program:
            _run(program, asked.name, asked.arguments)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m e2e.cluster", description=__doc__)
    words = parser.add_subparsers(dest="word", required=True)
    for word, text in (
        ("build", "build the programs that are missing"),
        ("up", "raise a cluster that stays until `down`"),
        ("down", "end a cluster and remove all of it"),
        ("status", "what runs"),
        ("load", "bring images to the node: docker-archives, or the product's and the tests'"),
        ("kubectl", "kubectl of the cluster's administrator"),
        ("helm", "helm of the cluster's administrator"),
    ):
        one = words.add_parser(word, help=text)
        if word in {"build", "up"}:
            one.add_argument("--level", choices=sorted(binaries.LEVELS), default="api")
        if word != "build":
            one.add_argument("--name", default=_NAME)
        if word == "down":
            one.add_argument("--all", action="store_true", help="every cluster of this user")
        if word == "load":
            one.add_argument("archives", nargs="*", type=Path)
        if word in {"kubectl", "helm"}:
            one.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser


def _up(name: str, level: str) -> None:
    folder = binaries.build(level)
    endings.sweep()
    home = homes.make(name, is_owned=False)
    try:
        if level == "node":
            node.raise_in(home)
        else:
            api_server.prepare(home, Settings())
            ApiServer(home).start()
    except BaseException:
        endings.end(home)
        raise
    _show(f"export KUBECONFIG={home / 'admin.yaml'}")
    _show(f"export PATH={folder}:$PATH")


def _down(name: str) -> None:
    endings.sweep()
    if not homes.home_of(name).exists():
        raise ClusterError(f"there is no cluster `{name}`; see: python -m e2e.cluster status")
    endings.end(homes.home_of(name))


def _status() -> None:
    for name in homes.names():
        home = homes.home_of(name)
        _show(f"{name}  {home}")
        for process in processes.recorded(home):
            state = "runs" if processes.is_alive(process) else "is dead"
            _show(f"  {process.name:<24} {process.pid:>7}  {state}  log {process.log}")


def _load(name: str, archives: Sequence[Path]) -> None:
    raised = node.NodeCluster(_home(name))
    for archive in archives or [image.archive for image in images.all_of_them()]:
        _show(raised.load(archive).strip())


def _run(program: str, name: str, arguments: Sequence[str]) -> None:
    home = _home(name)
    binary = binaries.folder() / program
    os.environ["KUBECONFIG"] = str(home / "admin.yaml")
    os.execv(binary, [str(binary), *arguments])


def _home(name: str) -> Path:
    home = homes.home_of(name)
    if not home.exists():
        raise ClusterError(f"there is no cluster `{name}`; raise it by: make cluster-up")
    return home


def _show(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
