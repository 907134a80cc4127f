"""`mesh7 tools`: what the agent may call or ask for."""

from pathlib import Path

import click

from mesh7_cli import options, output, reading


@click.command("tools")
@click.option("--source", metavar="NAME", help="Only the tools of this source.")
@options.state
@options.form
def command(source: str | None, directory: Path, state: Path | None, form: output.Form) -> None:
    """List the tools that the agent may call or ask for, as an agent would see them.

    A tool that policy denies whatever its arguments is not listed.
    """
    from mesh7_cli import gateway  # noqa: PLC0415 - 60 ms only for who talks to a gateway

    running = gateway.Gateway(options.state_folder(directory, state))
    tools = reading.objects(running.get("/v1/tools"), "tools")
    if source is not None:
        tools = [tool for tool in tools if reading.text(tool, "name").startswith(f"{source}.")]
    if form is not output.Form.TABLE:
        output.write({"tools": tools}, form)
        return
    if not tools:
        click.echo("no tool may be called – see `mesh7 status` for the state of the sources")
        return
    rows = [
        [reading.text(tool, "name"), _first_line(reading.text(tool, "description"))]
        for tool in tools
    ]
    output.table(["tool", "description"], rows)


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0]
