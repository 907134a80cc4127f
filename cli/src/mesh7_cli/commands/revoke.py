"""`mesh7 revoke`: end standing grants, vetoes and kills."""

from pathlib import Path

import click

from mesh7_cli import completing, options, output, reading


@click.command("revoke")
@click.argument(
    "names", metavar="NAME...", nargs=-1, required=True, shell_complete=completing.grant_names
)
@options.state
def command(names: tuple[str, ...], directory: Path, state: Path | None) -> int:
    """End standing grants, vetoes and kills, each by its whole NAME.

    What comes from a file of the folder ends when the file is deleted.
    Exits 0 only when every one was ended.
    """
    # 60 ms only for who talks to a gateway.
    from mesh7_cli import control, deciding, gateway  # noqa: PLC0415

    named = control.whole(names)
    running = gateway.Gateway(options.state_folder(directory, state))

    def end(name: str) -> str:
        was = control.revoke(running, name)
        if reading.text(was, "effect") == "Deny":
            return output.visible(
                f"lifted `{reading.text(was, 'name')}`: its calls are judged again"
            )
        return output.visible(f"revoked `{reading.text(was, 'name')}`")

    return deciding.each(named, end)
