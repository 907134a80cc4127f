"""Audit files as tests read them: their records without seals, and what a verifier says of them."""

import itertools
import json
from pathlib import Path
from typing import Any

from mesh7_core.audit import verifying
from mesh7_core.audit.findings import Verified
from mesh7_sidecar.audit import signing

Line = dict[str, Any]


def records_in(content: bytes) -> list[Line]:
    """Its records, whole lines all, without their ids; seals are left out."""
    found = [json.loads(line) for line in content.splitlines()]
    return [
        {name: value for name, value in line.items() if name != "id"}
        for line in found
        if "seal" not in line
    ]


def calls_in(content: bytes) -> list[Line]:
    """Its records of calls, of people's deeds and of what was dropped, without their ids."""
    return [line for line in records_in(content) if not isinstance(line.get("bundle"), dict)]


def files(path: Path) -> list[Path]:
    """Those that are there, oldest first."""
    numbers = itertools.count(1)
    older = itertools.takewhile(Path.exists, (path.with_name(f"{path.name}.{n}") for n in numbers))
    return [*reversed(list(older)), path]


def verified(path: Path) -> Verified:
    """What a verifier finds in all files, by the heads beside them."""
    public = signing.public_key(path.parent)
    assert public is not None
    segments = [(each.name, each.read_bytes()) for each in files(path)]
    return verifying.verify(segments, signing.read(path.parent, public))
