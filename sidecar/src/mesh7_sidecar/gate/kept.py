"""What came of an approved call, as far as repeats of it may have it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class McpResult:
    """The `result` object of an MCP answer, its bytes as they came."""

    result: bytes


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A plain HTTP answer, its headers already those that an agent may see."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


Kept = McpResult | HttpAnswer
