"""The one table of all instruments, of sidecar and operator. Pure: no clock, no network."""

from typing import Final

from mesh7_core.telemetry import operator_instruments, sidecar_instruments
from mesh7_core.telemetry.instruments import Instrument, Program

INSTRUMENTS: Final[tuple[Instrument, ...]] = (*sidecar_instruments.ALL, *operator_instruments.ALL)


def of(program: Program) -> tuple[Instrument, ...]:
    """All that one program makes."""
    return tuple(each for each in INSTRUMENTS if program in each.programs)
