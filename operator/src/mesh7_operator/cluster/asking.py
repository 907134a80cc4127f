"""One question to the API server, and its body, which is sent only while we may still ask."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from mesh7_operator.cluster.resources import Resource


@dataclass(frozen=True, slots=True)
class Request:
    """One question.

    Attributes:
        verb: ours, for metrics and messages.
    """

    verb: str
    method: str
    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    body: object = None
    content_type: str = "application/json"
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """From the server's root."""
        return self.resource.path(self.namespace, self.name, self.subresource)

    @property
    def shown(self) -> str:
        """For messages: the verb, and what it is about."""
        spelled = "/".join(filter(None, (self.namespace, self.name, self.subresource)))
        what = f"{self.verb} {self.resource.kind}"
        return f"{what} `{spelled}`" if spelled else what


class Body(aiohttp.BytesPayload):
    """Every write has one, and it goes to the socket only while we may still ask.

    Between any earlier look and this one a connection is found and the loop runs others: a process
    that is stopped there would send it whenever it wakes.
    """

    def __init__(self, request: Request, left_s: Callable[[], float]) -> None:
        content = json.dumps(request.body).encode()
        super().__init__(content, content_type=request.content_type)
        self._left_s = left_s

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        """Called by aiohttp with a connection at hand; what it raises ends the request unsent.

        Raises:
            OSError: it is too late.
        """
        if self._left_s() <= 0:
            raise OSError("no longer leading")
        await super().write_with_length(writer, content_length)
