"""What a listener puts up with from its clients."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one listener; the times are looked at by its sweep, four times a second.

    Attributes:
        head_bytes: a request head, request line included; beyond it 431.
        target_bytes: a request target; beyond it 414.
        head_s: from the first byte of a head to its last; beyond it 408.
        body_s: a collected body in total, a streamed one from piece to piece; beyond it 408.
        write_s: how long a client may leave what we write unread before it is cut off.
        linger_s: after an answer that ends the connection early, how long the rest of the
            request is read and thrown away, so that the client gets to see the answer.
        idle_s: how long a connection may do nothing. Longer than any client keeps one, since a
            request that crosses our closing is lost to clients that do not retry.
        idle_connections: beyond it the longest idle are closed.
        connections: all of them; at this number the idle are closed, then new ones refused.
        held_bytes: bodies being collected, all connections together; beyond it 503.
        known_heads: heads remembered so as not to be parsed again.
    """

    head_bytes: int = 65_536
    target_bytes: int = 16_384
    head_s: float = 10.0
    body_s: float = 30.0
    write_s: float = 60.0
    linger_s: float = 2.0
    idle_s: float = 3_600.0
    idle_connections: int = 1_000
    connections: int = 4_000
    held_bytes: int = 64 * 1024 * 1024
    known_heads: int = 512
