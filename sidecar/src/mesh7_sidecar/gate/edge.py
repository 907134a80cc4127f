"""The gate's edge: a defect of ours ends here, is seen in the log, and lets nothing pass."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

log = logging.getLogger("mesh7.gate")

_Answer = TypeVar("_Answer")
_Other = TypeVar("_Other")


def guarded(work: Callable[[], _Answer], otherwise: _Other) -> _Answer | _Other:
    """What `work` answers; `otherwise` when it fails, which must deny."""
    try:
        return work()
    except Exception:
        log.exception("judging failed; the call is denied")
        return otherwise


async def attended(work: Awaitable[None]) -> bool:
    """Whether `work` came to its end."""
    try:
        await work
    except Exception:
        log.exception("holding a call failed; it is denied")
        return False
    return True
