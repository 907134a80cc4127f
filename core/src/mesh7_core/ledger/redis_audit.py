"""A namespace's audit in Redis, for those who write it: appended, never read."""

from typing import Final

import hiredis

from mesh7_core.ledger import audit_entries, redis_troubles
from mesh7_core.ledger.audit_entries import Segment
from mesh7_core.ledger.redis_layout import Layout
from mesh7_core.ledger.redis_store import Store

NOT_TAKEN: Final = -1


class RedisAudit:
    """Appends over the ledger's own connection.

    Attributes:
        trouble: why the last segment was not taken; empty = it was.
    """

    def __init__(self, store: Store, layout: Layout) -> None:
        self._store = store
        self._key = layout.audit_inbox
        self.trouble = ""

    async def append(self, segment: Segment) -> int:
        """Append it; how many wait to be read with it, or `NOT_TAKEN`, which may be wrong.

        An answer that was lost says nothing: appended twice, the very same segment does no harm.
        """
        reply = await self._store.quietly("RPUSH", self._key, audit_entries.written(segment))
        if isinstance(reply, int):
            self.trouble = ""
            return reply
        self.trouble = (
            redis_troubles.of_error(reply)
            if isinstance(reply, hiredis.ReplyError)
            else "it does not answer"
        )
        return NOT_TAKEN
