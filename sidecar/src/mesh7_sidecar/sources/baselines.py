"""STATE/definitions.json: the definitions that the gateway holds later ones against.

Under `pinning: Warn` that is what was listed first, else what was accepted last. It outlives the
process: were every start a new first time, a server would only have to wait for one. The file is
private and written whole, by a rename; one that cannot be written costs a warning, never a call.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("mesh7.pinning")

MAXIMUM_TOOLS = 10_000
"""Of one source; further ones are not remembered, so that no server can fill the disk."""
MAXIMUM_TEXTS = 256
MAXIMUM_TEXT_CHARACTERS = 32 * 1024
_FILE_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Known:
    """A definition that was listed once.

    Attributes:
        text: in canonical spelling; empty when it was too large to keep.
    """

    digest: str
    text: str


class Baselines:
    """What is known of all sources' definitions.

    Args:
        path: of the file; None = nothing outlives the process.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known = _read(path) if path is not None else {}
        self._is_changed = False

    def of(self, source: str) -> Mapping[str, Known]:
        """What is known of one source's tools, by the tool's own name."""
        return self._known.get(source, {})

    def put(self, source: str, tool: str, digest: str, text: str) -> None:
        """Hold this tool against this definition from now on; `save` makes it last."""
        tools = self._known.setdefault(source, {})
        known = tools.get(tool)
        if (known is None and len(tools) >= MAXIMUM_TOOLS) or (known and known.digest == digest):
            return
        is_kept = len(text) <= MAXIMUM_TEXT_CHARACTERS and len(tools) <= MAXIMUM_TEXTS
        tools[tool] = Known(digest, text if is_kept else "")
        self._is_changed = True

    def save(self) -> None:
        """Write the file if anything in it changed."""
        if self._path is None or not self._is_changed:
            return
        self._is_changed = False
        written = {
            source: {tool: [known.digest, known.text] for tool, known in tools.items()}
            for source, tools in self._known.items()
        }
        try:
            _write(self._path, json.dumps(written).encode())
        except OSError as error:
            log.warning(
                "`%s` cannot be written: %s – definitions that change while mesh7 does not run "
                "will pass unseen",
                self._path, error.strerror,
            )  # fmt: skip


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _read(path: Path) -> dict[str, dict[str, Known]]:
    """What the file holds; nothing when it is not there or damaged, which is told."""
    try:
        written = json.loads(path.read_bytes())
        return {
            str(source): {str(tool): Known(*map(str, pair)) for tool, pair in tools.items()}
            for source, tools in written.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError):
        log.warning(
            "`%s` cannot be read – what tools looked like before is not known, so that look at "
            "them with `mesh7 tools`",
            path,
        )
        return {}
