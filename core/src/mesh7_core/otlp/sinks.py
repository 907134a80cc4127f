"""What batches are sent by: encoded, then posted. Imported only by programs that send."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from mesh7_core.otlp import protobuf
from mesh7_core.otlp.counts import Lost
from mesh7_core.otlp.posting import Post
from mesh7_core.otlp.sending import Outcome
from mesh7_core.otlp.settings import Target
from mesh7_core.otlp.unhurried import Unhurried
from mesh7_core.telemetry.spans import Span

Ours = TypeVar("Ours")


class BatchSink(Generic[Ours]):
    """Batches of one signal.

    Args:
        target: where to.
        encode: a batch as OTLP's protobuf, in a hurry once the event is set; a ValueError says
            that there is something in it that cannot be.
    """

    def __init__(
        self, target: Target, encode: Callable[[Sequence[Ours], threading.Event], bytes]
    ) -> None:
        self._post = Post(target)
        self._encode = encode

    def send(self, items: Sequence[Ours]) -> Outcome:
        """One batch, tried again where that may help."""
        if self._post.hurry.is_set():
            return Outcome(0, Lost.CLOSED, "is not asked any more")
        try:
            body = self._encode(items, self._post.hurry)
        except ValueError:
            return Outcome(0, Lost.REFUSED, "was not asked: a batch could not be encoded")
        return self._post.send(body, len(items))

    def stop(self) -> None:
        """Try nothing again, and hurry."""
        self._post.stop()

    def close(self) -> None:
        """End the connection."""
        self._post.close()


def spans(target: Target, resource: Mapping[str, str]) -> BatchSink[Span]:
    """For spans, without the SDK."""

    def encode(items: Sequence[Span], hurry: threading.Event) -> bytes:
        return protobuf.request(Unhurried(items, protobuf.span, hurry), resource)

    return BatchSink(target, encode)
