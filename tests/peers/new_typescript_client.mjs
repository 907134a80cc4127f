// A client on npm's `@modelcontextprotocol/client` 2.x, which probes for the modern era; see asking.py.

import { answer, imported, read } from "./typescript_asking.mjs";

const PACKAGE = "@modelcontextprotocol/client/dist";
const { Client, StreamableHTTPClientTransport } = await imported(`${PACKAGE}/index.mjs`);
const { StdioClientTransport } = await imported(`${PACKAGE}/stdio.mjs`);

const asked = read();
const [command, ...args] = asked.argv;
const transport = asked.url
  ? new StreamableHTTPClientTransport(asked.url)
  : new StdioClientTransport({ command, args });
const client = new Client(
  { name: "new-typescript-client", version: "1.0.0" },
  { versionNegotiation: { mode: "auto" } },
);
await client.connect(transport);
await answer(client, client.getNegotiatedProtocolVersion(), asked.calls);
await client.close();
