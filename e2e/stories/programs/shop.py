"""A plain HTTP API: a shop. It prints each request that reached it, and with which credential."""

import json
import time

from aiohttp import web


async def answer(request: web.Request) -> web.Response:
    """Say what was asked."""
    said = {
        "at": time.time(),
        "did": f"{request.method} {request.path}",
        "authorization": request.headers.get("authorization", ""),
    }
    print(json.dumps(said), flush=True)
    return web.json_response({"asked": f"{request.method} {request.path}"})


app = web.Application()
app.router.add_route("*", "/{path:.*}", answer)
web.run_app(app, host="0.0.0.0", port=8000, print=None)
