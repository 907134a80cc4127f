"""Which calls `--audit` has lines for: all of them, those that were not allowed, or none.

Pure: no clock, no network, no logging.
"""

from collections.abc import Callable
from typing import assert_never

from mesh7_core.policy.decision import Verdict
from mesh7_core.telemetry.records import Record
from mesh7_sidecar.settings import AuditShare

Append = Callable[[Record], None]


def by_share(append: Append, share: AuditShare) -> tuple[Append, ...]:
    """What the gate tells of its records: `append`, or what asks first; nobody when off."""
    match share:
        case AuditShare.ALL:
            return (append,)
        case AuditShare.DENIED:
            return (lambda record: _append_unless_allowed(append, record),)
        case AuditShare.OFF:
            return ()
        case _ as unknown:
            assert_never(unknown)


def _append_unless_allowed(append: Append, record: Record) -> None:
    if record.decision.verdict is not Verdict.ALLOW:
        append(record)
