"""`mesh7 completion`: the completion script of a shell."""

import click
from click import shell_completion

VARIABLE = "_MESH7_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    bash: put `eval "$(mesh7 completion bash)"` into ~/.bashrc; zsh and fish likewise.
    """
    root = context.find_root()
    form = shell_completion.get_completion_class(shell)
    if form is None:
        message = f"no completion for `{shell}`"
        raise click.UsageError(message, ctx=context)
    click.echo(form(root.command, {}, "mesh7", VARIABLE).source())
