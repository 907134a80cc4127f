"""What `mesh7 run` prints when it is ready: where to connect, and lines that can be pasted.

Every path is absolute and every line works from any folder, so nothing has to be edited.
"""

import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mesh7_cli import options, output, reading

if TYPE_CHECKING:
    from mesh7_cli import samples

# The base-URL variables of the usual clients, by the name that a source must have.
BASE_URLS = {"anthropic": ("ANTHROPIC_BASE_URL", ""), "openai": ("OPENAI_BASE_URL", "/v1")}


def show(status: Mapping[str, object], state: Path, argv: list[str]) -> None:
    """Print the announcement of a gateway whose `/control/status` is `status`."""
    # The compiler's parts are loaded by now: the gateway has read the folder with them.
    from mesh7_cli import samples  # noqa: PLC0415

    found = samples.in_folder(Path(reading.text(status, "directory")))
    for line in lines(status, state, argv, found):
        click.echo(output.visible(line))


def program() -> list[str]:
    """The argv that starts this very program again, absolute."""
    started = Path(sys.argv[0])
    if started.name == "mesh7" and (found := shutil.which(str(started))):
        return [str(Path(found).absolute())]
    return [sys.executable, "-m", "mesh7_cli"]


def lines(
    status: Mapping[str, object],
    state: Path,
    argv: list[str],
    tries: Iterable["samples.Sample"] = (),
) -> list[str]:
    """The announcement, line by line.

    Args:
        status: as `/control/status` gives it.
        state: the state folder; named in the lines only when it is not the folder's own.
        argv: how this program is started.
        tries: calls to try. What comes of one stands on a line of its own, because zsh knows
            no comments behind a command.
    """
    directory = Path(reading.text(status, "directory"))
    base = f"http://{reading.text(status, 'listen')}"
    admin = reading.text(status, "admin")
    mesh7 = shlex.join(argv)
    where = f"--dir {shlex.quote(str(directory))}"
    if state != directory / options.STATE_FOLDER:
        where = f"--state {shlex.quote(str(state))}"
    agent = f"{reading.text(status, 'namespace')}/{reading.text(status, 'agent')}"
    sources = reading.objects(status, "sources")
    is_mcp = any(reading.text(source, "kind") != "http" for source in sources)
    return [
        f"mesh7 guards {directory} for agent {agent}",
        "",
        *_addresses(base, admin, sources),
        "",
        *(_mcp_lines(base, directory, mesh7, where, tries) if is_mcp else ()),
        "Ctrl-C stops it.",
    ]


def _mcp_lines(
    base: str, directory: Path, mesh7: str, where: str, tries: Iterable["samples.Sample"]
) -> Iterable[str]:
    yield "Try it from another terminal:"
    yield f"  {mesh7} tools {where}"
    for one in tries:
        yield f"  {one.name}:"
        yield f"  {mesh7} call {where} {one.words}"
    yield "Decide about calls that wait for a person, in one more terminal:"
    yield f"  {mesh7} watch {where}"
    yield ""
    yield "Give it to Claude Code, by HTTP or by stdio:"
    yield f"  claude mcp add --transport http mesh7 {base}/mcp"
    yield f"  claude mcp add mesh7 -- {mesh7} stdio {shlex.quote(str(directory))}"
    yield ""


def _addresses(base: str, admin: str, sources: Iterable[Mapping[str, object]]) -> Iterable[str]:
    yield f"  {base}/mcp  all sources as one MCP server"
    for source in sources:
        name = reading.text(source, "name")
        if reading.text(source, "kind") != "http":
            yield f"  {base}/mcp/{name}"
            continue
        yield f"  {base}/http/{name}/"
        if name in BASE_URLS:
            variable, suffix = BASE_URLS[name]
            yield f"    export {variable}={base}/http/{name}{suffix}"
    yield f"  http://{admin}  health and /metrics (admin)" if admin else "  admin listener off"
