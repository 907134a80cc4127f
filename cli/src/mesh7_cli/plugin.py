"""The composition root of `kubectl-mesh7`, which `kubectl mesh7` runs.

As kubectl does: answers on stdout, `error: …` on stderr. No traceback reaches a user.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import click

from mesh7_cli import exits
from mesh7_cli.cluster import flags
from mesh7_core import errors, names

NAME: Final = "kubectl mesh7"
COMMANDS: Final = {
    "approve": "Say yes to held calls, each by its whole NAME.",
    "audit": "Show what was called, decided and done, newest first.",
    "check": "See that mesh7 can be installed, or that it works.",
    "deny": "Say no to held calls, each by its whole NAME.",
    "explain": "Say why a call to TOOL by POD would be allowed or refused, rung by rung.",
    "grant": "Let calls to TOOL pass for a while without asking each time.",
    "grants": "List the standing grants and vetoes.",
    "inject": "Show what becomes of pods when they are made.",
    "kill": "Refuse every call of AGENT from the next call on.",
    "requests": "List the calls that wait for people.",
    "revoke": "End standing grants, vetoes and kills, each by its whole NAME.",
    "show": "Show one held call: who asks, for what, by which rules.",
    "status": "Show how namespaces and their pods are guarded.",
    "test": "Run cases against policies, without a cluster.",
    "tools": "List the tools of a namespace's sources, and how their definitions stand.",
    "trace": "Draw the calls of a trace in time: what policy, people and the tool took of each.",
    "watch": "Show held calls as they come.",
}
"""In the order of the help, each with its line there; a test holds them to the commands' own."""
EPILOG: Final = (
    "kubectl's other flags work too, before and after COMMAND (see `kubectl options`). "
    "Exit codes: docs/reference/kubectl-mesh7.md"
)


class Commands(click.Group):
    """Each command is a module of `plugin_commands`, imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All of them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, with what it imports."""
        if cmd_name not in COMMANDS:
            return None
        found = importlib.import_module(f"mesh7_cli.plugin_commands.{cmd_name}").command
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(context: click.Context, _parameter: click.Parameter, asked: object) -> None:
    if not asked or context.resilient_parsing:
        return
    click.echo(f"kubectl-mesh7 {names.RELEASE}")
    context.exit()


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
)
@flags.offered
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
@click.pass_context
def program(context: click.Context, /, **given: object) -> int:
    """Look after the guards of AI agents in a cluster: with your own kubectl, and your rights."""
    context.obj = given
    return exits.Exit.OK


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave the process with its exit code."""
    sys.exit(exit_code(sys.argv[1:] if arguments is None else arguments))


def exit_code(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; never raises."""
    try:
        result = program.main(flags.normalised(arguments), prog_name=NAME, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        # As kubectl alone does.
        click.echo(error.format_message())
        return exits.Exit.OK
    except click.ClickException as error:
        _complain(_usage(error))
        return exits.Exit.USAGE
    except (click.Abort, KeyboardInterrupt) as error:
        # What was handed in by then stands all the same, and says so.
        if told := _last_words(error):
            _complain(f"mesh7: {told}")
        return exits.Exit.INTERRUPTED
    except errors.Mesh7Error as error:
        _complain(f"error: {error.message}")
        return exits.Exit.WRONG
    except BrokenPipeError:
        # The interpreter would flush into the closed pipe once more and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.Exit.CLOSED_PIPE
    except Exception as error:  # noqa: BLE001 - the edge: no traceback reaches a user
        from mesh7_cli import crash  # noqa: PLC0415 - only the unexpected needs it

        # The command alone: what stands before it may be a token.
        verb = next((one for one in arguments if one in COMMANDS), "")
        _complain(f"error: {crash.report(error, [verb])}")
        return exits.Exit.INTERNAL
    return int(result) if isinstance(result, int) else exits.Exit.OK


def _last_words(error: BaseException) -> str:
    """What whoever was interrupted has to tell; click has put its own error around it."""
    cause = error.__cause__ if isinstance(error, click.Abort) else error
    return str(cause) if isinstance(cause, KeyboardInterrupt) else ""


def _usage(error: click.ClickException) -> str:
    """Click's complaint as kubectl spells its own."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else NAME
    text = error.format_message().rstrip(".").replace("'", "`")
    return f"error: {text[:1].lower()}{text[1:]}\nSee '{path} --help' for usage."


def _complain(line: str) -> None:
    click.echo(line, err=True)
