"""The gate's edge: a defect of ours ends here, is seen in the log, and lets nothing pass."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

log = logging.getLogger("mesh7.gate")

_Answer = TypeVar("_Answer")
_Other = TypeVar("_Other")


def guarded(
    work: Callable[[], _Answer],
    otherwise: _Other,
    told: str = "judging failed; the call is denied",
) -> _Answer | _Other:
    """What `work` answers; `otherwise` when it fails, which must deny. `told` is logged then."""
    try:
        return work()
    except Exception:
        log.exception("%s", told)
        return otherwise


async def attended(
    work: Awaitable[object], told: str = "holding a call failed; it is denied"
) -> bool:
    """Whether `work` came to its end; when not, `told` is logged."""
    try:
        await work
    except Exception:
        log.exception("%s", told)
        return False
    return True
