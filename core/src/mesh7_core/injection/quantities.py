"""CPU and memory as Kubernetes spells them, as far as mesh7 asks for them.

Pure: no clock, no network, no logging.
"""

import re
from typing import Final

from mesh7_core.api.places import shown
from mesh7_core.api.quantities import BadQuantity, parse_size

LEAST_CPU: Final = 1
"""Thousandths of a core, as all here."""
MOST_CPU: Final = 64_000
LEAST_MEMORY: Final = 16 << 20

_MILLICORES: Final = re.compile(r"[0-9]{1,5}m")
_CORES: Final = re.compile(r"([0-9]{1,2})(?:\.([0-9]{1,3}))?")


def parse_cpu(text: object) -> int:
    """`50m`, `1`, `0.5`: thousandths of a core, from 1 to 64,000.

    Raises:
        BadQuantity: `text` is something else.
    """
    found = _millicores(text) if isinstance(text, str) else None
    if found is None or not LEAST_CPU <= found <= MOST_CPU:
        raise BadQuantity(f"{shown(text)} is no share of a CPU, write one such as `50m` or `0.5`")
    return found


def parse_memory(text: object) -> int:
    """`256Mi`: bytes, at least 16 Mi.

    Raises:
        BadQuantity: `text` is something else.
    """
    found = parse_size(text)
    if not isinstance(text, str) or found < LEAST_MEMORY:
        raise BadQuantity(f"{shown(text)} is too little memory, write a size such as `256Mi`")
    return found


def _millicores(text: str) -> int | None:
    if _MILLICORES.fullmatch(text):
        return int(text[:-1])
    cores = _CORES.fullmatch(text)
    return None if cores is None else int(cores[1]) * 1000 + int((cores[2] or "").ljust(3, "0"))
