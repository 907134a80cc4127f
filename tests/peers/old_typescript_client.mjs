// A client on npm's `@modelcontextprotocol/sdk` 1.x, legacy era only; see asking.py.

import { answer, imported, read } from "./typescript_asking.mjs";

const PACKAGE = "@modelcontextprotocol/sdk/dist/esm/client";
const { Client } = await imported(`${PACKAGE}/index.js`);
const { StdioClientTransport } = await imported(`${PACKAGE}/stdio.js`);
const { StreamableHTTPClientTransport } = await imported(`${PACKAGE}/streamableHttp.js`);

const asked = read();
const [command, ...args] = asked.argv;
const transport = asked.url
  ? new StreamableHTTPClientTransport(asked.url)
  : new StdioClientTransport({ command, args });
const client = new Client({ name: "old-typescript-client", version: "1.0.0" });
await client.connect(transport);
// Only the HTTP transport remembers what the handshake settled on.
await answer(client, transport.protocolVersion ?? "", asked.calls);
await client.close();
