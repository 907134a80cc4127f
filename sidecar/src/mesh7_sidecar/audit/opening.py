"""Where a gateway keeps its records: files of the state folder, or stdout in a pod."""

import secrets
from collections.abc import Callable
from pathlib import Path

from mesh7_core import errors
from mesh7_core.audit import chain
from mesh7_core.telemetry.records import Record
from mesh7_sidecar.audit.generations import Generations
from mesh7_sidecar.audit.lines import MAXIMUM_WAITING_BYTES, SIGN_S, AuditLines
from mesh7_sidecar.audit.sealing import Sealing
from mesh7_sidecar.audit.stream import Stream
from mesh7_sidecar.settings import DEFAULT_AUDIT_FILE_MIB, DEFAULT_AUDIT_FILES, MIB


def audit_file(  # noqa: PLR0913 - each has a default
    path: Path,
    render: Callable[[Record], bytes],
    wall_ns: Callable[[], int],
    *,
    maximum_bytes: int = DEFAULT_AUDIT_FILE_MIB * MIB,
    kept: int = DEFAULT_AUDIT_FILES,
    maximum_waiting_bytes: int = MAXIMUM_WAITING_BYTES,
    sign_s: float = SIGN_S,
) -> AuditLines:
    """An append-only file of JSON lines, readable by its owner alone, rotated by size.

    Its chain goes on from start to start. The caller holds the folder's lock.

    Args:
        path: `audit.jsonl` in the state folder; older generations are `audit.jsonl.1` (the
            newest), `.2`, ….
        render: a record → its line without the newline.
        wall_ns: Unix time in nanoseconds.
        maximum_bytes: a file that reaches it becomes a generation.
        kept: files in all.
        maximum_waiting_bytes: what memory may hold while the disk is slow.
        sign_s: how long records stay unsigned.

    Raises:
        SettingsError: no records can be written there.
    """
    try:
        files = Generations(path, maximum_bytes, kept)
        try:
            goes_on = files.continued(chain.fresh_name(secrets.token_bytes))
        except BaseException:
            files.close()
            raise
    except OSError as error:
        where = error.filename or path
        message = (
            f"`{where}` cannot be written: {error.strerror} – mend it, or start with `--audit off`"
        )
        raise errors.SettingsError(message) from error
    return AuditLines(Sealing(files, goes_on, wall_ns), render, maximum_waiting_bytes, sign_s)


def audit_stream(
    render: Callable[[Record], bytes],
    wall_ns: Callable[[], int],
    name: str,
    *,
    stream: Stream | None = None,
    maximum_waiting_bytes: int = MAXIMUM_WAITING_BYTES,
) -> AuditLines:
    """Lines on stdout, a chain for each start.

    Args:
        render: a record → its line without the newline.
        wall_ns: Unix time in nanoseconds.
        name: of the chain, as its key names it.
        stream: where they go.
        maximum_waiting_bytes: what memory may hold while nobody reads.
    """
    sealing = Sealing(stream or Stream(), chain.new(name), wall_ns)
    return AuditLines(sealing, render, maximum_waiting_bytes)
