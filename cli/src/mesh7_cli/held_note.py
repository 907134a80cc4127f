"""A word for who waits for a call: it is held, and how to decide about it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from mesh7_cli import neutral, reading
from mesh7_core import errors

if TYPE_CHECKING:
    from mesh7_cli import gateway

AFTER_S = 1.0
"""Calls that nobody has to approve are answered by then, or are slow for reasons of their own."""


@contextmanager
def telling(running: "gateway.Gateway", tool: str) -> Iterator[None]:
    """Say on stderr, while the block runs, which requests of `tool` wait for people."""
    timer = threading.Timer(AFTER_S, _tell, (running, tool))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _tell(running: "gateway.Gateway", tool: str) -> None:
    try:
        found = running.get("/control/requests?state=open")
    except errors.Mesh7Error:
        # The call itself says what is wrong.
        return
    for request in reading.objects(found, "requests"):
        if reading.text(request, "tool") == tool and reading.text(request, "state") == "pending":
            identifier = neutral.line(reading.text(request, "id"))
            click.echo(
                f"waits for a person, request {identifier}: decide with `mesh7 watch`, or"
                f" `mesh7 approve {identifier}`, in another terminal",
                err=True,
            )
