"""Audits of a few namespaces, and a kubectl that knows them."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.cli.querying import asked_kubectl

ROOT = Path(__file__).parents[3]
Streams = Mapping[str, Sequence[Sequence[bytes]]]


class Fake:
    """A folder with `kubectl` in it, to be put into PATH."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        program = folder / "kubectl"
        text = Path(asked_kubectl.__file__).read_text()
        program.write_text(f"#!{sys.executable} -I\n{text}")
        program.chmod(0o755)

    def tell(self, streams: Streams, **further: Any) -> None:
        """What there is from now on: blocks of lines by namespace."""
        written = {
            name: [[line.decode() for line in block] for block in blocks]
            for name, blocks in streams.items()
        }
        world = {"streams": written, "root": str(ROOT), **further}
        (self._folder / "world.json").write_text(json.dumps(world))

    def asked(self) -> list[dict[str, Any]]:
        """Specs of the questions that were handed in."""
        return [json.loads(given)["spec"] for words, given in self._calls() if "create" in words]

    def left(self) -> list[str]:
        """Questions that nobody deleted."""
        folder = self._folder / "queries"
        return sorted(one.name for one in folder.iterdir()) if folder.exists() else []

    def _calls(self) -> list[tuple[list[str], str]]:
        path = self._folder / "calls"
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()]
