"""What batches are sent by: encoded, then posted. Imported only by programs that send."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from mesh7_core.otlp import protobuf
from mesh7_core.otlp.counts import Lost
from mesh7_core.otlp.posting import Post
from mesh7_core.otlp.sending import Outcome
from mesh7_core.otlp.settings import Target
from mesh7_core.otlp.unhurried import Unhurried
from mesh7_core.telemetry.spans import Span

Ours = TypeVar("Ours")


@dataclass(frozen=True, slots=True)
class Encoded:
    """A batch as OTLP's protobuf.

    Attributes:
        items: how many of the batch are in it; the others cannot be written.
    """

    body: bytes
    items: int


class BatchSink(Generic[Ours]):
    """Batches of one signal.

    Args:
        target: where to.
        encode: in a hurry once the event is set; a ValueError says that nothing of the batch can
            be written.
    """

    def __init__(
        self, target: Target, encode: Callable[[Sequence[Ours], threading.Event], Encoded]
    ) -> None:
        self._post = Post(target)
        self._encode = encode

    def send(self, items: Sequence[Ours]) -> Outcome:
        """One batch, tried again where that may help."""
        if self._post.hurry.is_set():
            return Outcome(0, Lost.CLOSED, "is not asked any more")
        try:
            encoded = self._encode(items, self._post.hurry)
        except ValueError:
            encoded = Encoded(b"", 0)
        if not encoded.items:
            return Outcome(0, Lost.REFUSED, "was not asked: a batch could not be encoded")
        outcome = self._post.send(encoded.body, encoded.items)
        if outcome.lost is None and encoded.items < len(items):
            cause = "was not asked to take what could not be encoded"
            return Outcome(outcome.sent, Lost.REFUSED, cause)
        return outcome

    def stop(self) -> None:
        """Try nothing again, and hurry."""
        self._post.stop()

    def close(self) -> None:
        """End the connection."""
        self._post.close()


def spans(target: Target, resource: Mapping[str, str]) -> BatchSink[Span]:
    """For spans, without the SDK."""

    def encode(items: Sequence[Span], hurry: threading.Event) -> Encoded:
        written = Unhurried(items, protobuf.span, hurry)
        body = protobuf.request(written, resource)
        return Encoded(body, len(items) - written.left_out)

    return BatchSink(target, encode)
