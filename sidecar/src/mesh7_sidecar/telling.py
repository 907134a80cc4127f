"""Telling listeners of a change: one that fails costs neither the others nor what has changed."""

import logging
from collections.abc import Callable, Iterable

log = logging.getLogger("mesh7.gateway")


def tell(listeners: Iterable[Callable[[], None]]) -> None:
    """Call each; a failure is told in the log and goes no further."""
    for told in tuple(listeners):
        try:
            told()
        except Exception:
            # What changed is in force already: whoever fails to hear of it must not undo half.
            log.exception("a listener of ours failed; please report it")
