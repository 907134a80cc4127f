"""`mesh7 test`: run cases against policies, offline."""

import click


@click.command("test")
def command() -> None:
    """Run cases against policies, without a gateway."""
