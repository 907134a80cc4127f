"""A client on `mcp` 2.x, which probes and takes the modern era where it can; see `asking`."""

import asyncio

from mcp import Client, StdioServerParameters

from tests.peers import asking


async def main() -> None:
    """List, call, print."""
    asked = asking.read()
    target: str | StdioServerParameters = asked.url
    if asked.argv:
        target = StdioServerParameters(command=asked.argv[0], args=list(asked.argv[1:]))
    async with Client(target) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        calls = await asking.outcomes(asked, client.call_tool)
        asking.answer(str(client.protocol_version), tools, calls)


if __name__ == "__main__":
    asyncio.run(main())
