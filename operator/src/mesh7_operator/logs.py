"""Logs as JSON, one line a record: a constant message, and fields beside it; never a secret.

Fields are given as `extra`: `_LOG.info("bundle published", extra={"namespace": …})`.
"""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, TextIO

from typing_extensions import override

from mesh7_core.telemetry.context import Context

_STANDARD: Final = frozenset(
    logging.LogRecord("", 0, "", 0, "", None, None).__dict__.keys()
    | {"message", "asctime", "taskName"}
)
# kopf hangs its own references and settings on records: they hold whole objects.
_FOREIGN: Final = frozenset({"k8s_ref", "k8s_skip", "settings"})
_QUIET: Final = ("kopf", "asyncio", "aiohttp.access")
"""Their notes are no news to people; their warnings are."""


SPAN: Final[ContextVar[Context | None]] = ContextVar("span", default=None)
"""Which span is being worked on; what is logged then names it."""


class JsonLines(logging.Formatter):
    """One record, one line: `time`, `level`, `logger`, `message`, then the fields by name.

    Within a span that is sent, `trace_id` and `span_id` too, as OpenTelemetry names them in JSON.
    """

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        span = SPAN.get()
        if span is not None:
            line |= {"trace_id": span.trace_id, "span_id": span.span_id}
        line.update(
            (name, value)
            for name, value in sorted(vars(record).items())
            if name not in _STANDARD and name not in _FOREIGN
        )
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure(stream: TextIO, level: int = logging.INFO) -> None:
    """Send everything that is logged in this process to `stream`, as JSON lines."""
    out = logging.StreamHandler(stream)
    out.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [out]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
