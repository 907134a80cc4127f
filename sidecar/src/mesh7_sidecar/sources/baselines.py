"""STATE/definitions.json: the definitions that the gateway holds later ones against.

Under `pinning: Warn` that is what was listed first, else what was accepted last. It outlives the
process: were every start a new first time, a server would only have to wait for one. The file is
private and written whole, by a rename; one that cannot be written costs a warning, never a call.
A thread writes it, once a second at most: what a server lists must not keep everybody waiting.
"""

import asyncio
import contextlib
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
WRITE_EVERY_S = 1.0
"""Changes that come sooner after a write are written together, and all of them by `close`."""
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
        self._saving: asyncio.Task[None] | None = None
        self._is_ending = asyncio.Event()

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
        """Have the file written if anything in it changed; returns at once."""
        is_saving = self._saving is not None and not self._saving.done()
        if self._path is not None and self._is_changed and not is_saving:
            self._saving = asyncio.get_running_loop().create_task(self._save(self._path))

    async def close(self) -> None:
        """Write what is not written."""
        self._is_ending.set()
        if self._saving is not None:
            await self._saving

    async def _save(self, path: Path) -> None:
        while self._is_changed:
            self._is_changed = False
            # Copies of what may change meanwhile; what was listed is as it was.
            held = {source: dict(tools) for source, tools in self._known.items()}
            try:
                await asyncio.to_thread(_keep, path, held)
            except (RuntimeError, MemoryError) as error:
                # No thread, perhaps: the agent has a part in how many there may be.
                log.warning("`%s` cannot be written now (%s)", path, type(error).__name__)
                self._is_changed = not self._is_ending.is_set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WRITE_EVERY_S):
                    await self._is_ending.wait()


def _keep(path: Path, held: Mapping[str, Mapping[str, Known]]) -> None:
    # One definition at a time: a thread that dumps all at once keeps the others waiting too.
    sources = [
        b"%b:{%b}" % (_dumped(source), b",".join(_entry(*each) for each in tools.items()))
        for source, tools in held.items()
    ]
    try:
        _write(path, b"{%b}" % b",".join(sources))
    except OSError as error:
        log.warning(
            "`%s` cannot be written: %s – definitions that change while mesh7 does not run will "
            "pass unseen",
            path, error.strerror,
        )  # fmt: skip


def _entry(tool: str, known: Known) -> bytes:
    return b"%b:%b" % (_dumped(tool), _dumped([known.digest, known.text]))


def _dumped(value: object) -> bytes:
    return json.dumps(value).encode()


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
