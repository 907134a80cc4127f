"""Heads of a state folder as its key signed them, and heads that somebody kept elsewhere."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mesh7_core import errors
from mesh7_core.audit import heads
from mesh7_core.audit.heads import Head
from mesh7_core.delivery import keys
from mesh7_sidecar.audit import signing

_MOST_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """One head that this folder's key signed.

    Attributes:
        line: as it stands in the file, to be kept elsewhere.
    """

    head: Head
    line: str


def key(state: Path) -> bytes | None:
    """What the heads of a folder are verified by; None when there is none.

    Raises:
        SettingsError: it is damaged or cannot be read.
    """
    return signing.public_key(state)


def name(public: bytes) -> str:
    """How people tell keys apart."""
    return keys.name_of(public)


def read(state: Path) -> tuple[Signed, ...]:
    """One for each chain, newest last.

    Raises:
        SettingsError: they cannot be read.
    """
    public = key(state)
    try:
        with (state / signing.HEADS_NAME).open("rb") as file:
            lines = file.read(_MOST_BYTES).split(b"\n")
    except FileNotFoundError:
        return ()
    except OSError as error:
        message = f"`{state / signing.HEADS_NAME}` cannot be read: {error.strerror}"
        raise errors.SettingsError(message) from error
    found = [
        Signed(head=head, line=line.decode())
        for line in lines
        if public is not None and (head := heads.verified(line, public)) is not None
    ]
    return tuple(sorted(found, key=lambda one: one.head.time))


def standing(before: tuple[Signed, ...], after: tuple[Signed, ...]) -> list[Head]:
    """What must be in files that were opened between two readings of the heads.

    A head says first that files go, then they go; so the later reading says what is kept, and the
    earlier one what was written.
    """
    kept = {one.head.chain: one.head.first for one in after}
    return [
        replace(head, first=min(max(head.first, kept[head.chain]), head.block + 1))
        for head in (one.head for one in before)
        if head.chain in kept
    ]


def given(text: str) -> tuple[Head, ...]:
    """Heads that somebody kept: the line itself, or a file of such lines.

    Raises:
        SettingsError: there is none.
    """
    content = text.encode() if text.lstrip().startswith("{") else _content(Path(text))
    lines = [line for line in content.split(b"\n") if line.strip()]
    found = [heads.read(line.strip()) for line in lines]
    whole = tuple(head for head in found if head is not None)
    if not whole or len(whole) != len(found):
        message = (
            "`--head`: that is no head – give a line that `mesh7 audit head` printed, or a file"
        )
        raise errors.SettingsError(message)
    return whole


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError as error:
        message = f"`--head`: `{path}` cannot be read: {error.strerror}"
        raise errors.SettingsError(message) from error
