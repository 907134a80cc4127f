"""The conformance client behind the gateway: the suite starts this in the client's stead.

    python -m tests.peers.guarded_client URL

starts a gateway whose one source is URL, runs `conformance_client` against it, and ends with its
exit code.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.peers import gateway, open_policy, processes

_TIMEOUT_S = 45.0


async def main() -> int:
    """Answer the client's exit code."""
    with tempfile.TemporaryDirectory() as place:
        folder = open_policy.write(Path(place) / "folder", sys.argv[1])
        async with gateway.running_gateway(folder) as running:
            url = f"{running.url}/mcp/{open_policy.SOURCE}"
            argv = [sys.executable, "-m", "tests.peers.conformance_client", url]
            finished = await processes.run(argv, timeout_s=_TIMEOUT_S)
            sys.stderr.write(finished.err)
            return finished.code


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
