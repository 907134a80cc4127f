"""Ways out: upstream HTTP, child processes, the gateway's own MCP client, the catalog of tools."""
