"""A moment as records spell it: UTC, RFC 3339 with microseconds.

Pure: no clock, no network, no logging.
"""

from datetime import UTC, datetime


def written(at_ns: int) -> str:
    """A Unix time in nanoseconds, such as `2026-11-21T00:00:00.123456Z`."""
    seconds, nanoseconds = divmod(at_ns, 1_000_000_000)
    date = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{date}.{nanoseconds // 1000:06d}Z"
