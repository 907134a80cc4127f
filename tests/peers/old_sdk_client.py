"""A client on `mcp` 1.x, legacy era only, run by `.venv-mcp1`; see `asking`."""
# mypy: ignore-errors
# (mypy sees the other venv's SDK.)

import asyncio

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client

from tests.peers import asking


async def main() -> None:
    """List, call, print."""
    asked = asking.read()
    if asked.argv:
        server = StdioServerParameters(command=asked.argv[0], args=list(asked.argv[1:]))
        opened = stdio_client(server)
    else:
        opened = streamablehttp_client(asked.url)
    async with opened as streams, ClientSession(streams[0], streams[1]) as session:
        greeted = await session.initialize()
        tools = [tool.name for tool in (await session.list_tools()).tools]
        calls = await asking.outcomes(asked, session.call_tool)
        asking.answer(str(greeted.protocolVersion), tools, calls)


if __name__ == "__main__":
    asyncio.run(main())
