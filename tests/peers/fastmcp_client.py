"""A client on `fastmcp` 4.x; see `asking`."""

import asyncio
from functools import partial

from fastmcp import Client
from fastmcp.client.transports import StdioTransport

from tests.peers import asking


async def main() -> None:
    """List, call, print."""
    asked = asking.read()
    target: str | StdioTransport = asked.url
    if asked.argv:
        target = StdioTransport(command=asked.argv[0], args=list(asked.argv[1:]))
    async with Client(target) as client:
        tools = [tool.name for tool in await client.list_tools()]
        calls = await asking.outcomes(asked, partial(client.call_tool, raise_on_error=False))
        asking.answer(str(client.protocol_version), tools, calls)


if __name__ == "__main__":
    asyncio.run(main())
