"""Results of approved calls, kept a little while for those who repeat the same call.

Bounded in time, in each and in all; the oldest go first. Pure: no clock, no network, no logging.
"""

from dataclasses import dataclass
from typing import Final

from mesh7_sidecar.gate import kept

KEPT_S: Final = 60.0
MOST_BYTES: Final = 64 * 1024 * 1024
"""Of all results together."""
LARGEST_BYTES: Final = 1024 * 1024
"""Of one; a larger one is not kept."""
_OVERHEAD_BYTES: Final = 1024
"""What an entry weighs beside its bytes, so that many empty ones are bounded too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of one approved call.

    Attributes:
        until_s: when it is forgotten.
    """

    request_id: str
    result: kept.Kept
    until_s: float
    size_bytes: int


class Results:
    """By digest of the exact call."""

    def __init__(self) -> None:
        self._kept: dict[str, Result] = {}
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, digest: str, request_id: str, result: kept.Kept, now_s: float) -> bool:
        """Keep a result from now on; False when it is too large for that."""
        size_bytes = _size(result)
        if size_bytes > LARGEST_BYTES:
            return False
        self.forget(now_s)
        self._drop(digest)
        while self._size_bytes + size_bytes > MOST_BYTES:
            self._drop(next(iter(self._kept)))
        self._size_bytes += size_bytes
        self._kept[digest] = Result(
            request_id=request_id, result=result, until_s=now_s + KEPT_S, size_bytes=size_bytes
        )
        return True

    def find(self, digest: str, now_s: float) -> Result | None:
        """The result that is kept for this exact call."""
        self.forget(now_s)
        return self._kept.get(digest)

    def forget(self, now_s: float) -> None:
        """Drop what has been kept long enough."""
        # The order of keeping is the order of ending.
        for digest, one in tuple(self._kept.items()):
            if one.until_s > now_s:
                break
            self._drop(digest)

    def _drop(self, digest: str) -> None:
        found = self._kept.pop(digest, None)
        if found is not None:
            self._size_bytes -= found.size_bytes


def _size(result: kept.Kept) -> int:
    match result:
        case kept.McpResult():
            return len(result.result) + _OVERHEAD_BYTES
        case kept.HttpAnswer():
            fields = sum(len(name) + len(value) for name, value in result.headers)
            return len(result.body) + fields + _OVERHEAD_BYTES
