"""Arguments that are too long to be kept: people see head and tail, size and digest.

The digest of a request binds the exact call whatever is shown of it. Every home opens a request
through `approvals.opened`, which shortens here, so none of them keeps more.
Pure: no clock, no network, no logging.
"""

import hashlib
import json
from dataclasses import replace
from typing import Final

from mesh7_core.ledger.asked import Request

LONGEST_BYTES: Final = 256 * 1024
"""Of a request's arguments in UTF-8; longer ones are cut."""
MOST_BYTES: Final = 16 * 1024 * 1024
"""Of all arguments that a namespace keeps; beyond it those of closed requests are let go."""
HEAD: Final = 8 * 1024
TAIL: Final = 2 * 1024
"""Characters that are kept of the beginning and of the end."""
_LONGEST_CHARACTER: Final = 4


def shortened(request: Request) -> Request:
    """The request with no more of its arguments than is kept.

    That is all of them, or `{"cut": {"bytes": …, "digest": "sha256:…", "head": "…", "tail": "…"}}`
    with their size in `cut_from_bytes`. The digest is over the whole text.
    """
    text = request.arguments
    if len(text) * _LONGEST_CHARACTER <= LONGEST_BYTES:
        return request
    whole = text.encode("utf-8", "surrogatepass")
    if len(whole) <= LONGEST_BYTES:
        return request
    cut = {
        "bytes": len(whole),
        "digest": "sha256:" + hashlib.sha256(whole).hexdigest(),
        "head": text[:HEAD],
        "tail": text[-TAIL:],
    }
    kept = json.dumps({"cut": cut}, ensure_ascii=False, separators=(",", ":"))
    return replace(request, arguments=kept, cut_from_bytes=len(whole))


def size_bytes(request: Request) -> int:
    """How much is kept of its arguments."""
    text = request.arguments
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
