"""The composition root of `mesh7`: finds the command, runs it, turns every end into an exit code.

No traceback reaches a user: expected errors are one line and a documented code; an unexpected one
is written to a file whose path is printed.
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from mesh7_cli import exits
from mesh7_cli.commands import (
    approve,
    audit,
    call,
    check,
    completion,
    deny,
    explain,
    grant,
    grants,
    kill,
    requests,
    revoke,
    run,
    show,
    status,
    stdio,
    test,
    tools,
    trace,
    watch,
)
from mesh7_core import errors


def _print_version(context: click.Context, _parameter: click.Parameter, asked: object) -> None:
    if not asked or context.resilient_parsing:
        return
    click.echo(f"mesh7 {version()}")
    context.exit()


def version() -> str:
    """The installed version of the distribution `mesh7`; `0+source` in a bare source tree."""
    from importlib import metadata  # noqa: PLC0415 - 20 ms that only this needs

    try:
        return metadata.version("mesh7")
    except metadata.PackageNotFoundError:
        return "0+source"


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: docs/reference/exit-codes.md",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
def program() -> None:
    """Stand between AI agents and their tools: allow, refuse, ask, record."""


_SERVING = (run, stdio, status, tools, call)
_DECIDING = (requests, show, watch, approve, deny, grant, grants, revoke, kill)
_SEEING = (audit, trace)
_OFFLINE = (check, test, explain, completion)
for _module in (*_SERVING, *_DECIDING, *_SEEING, *_OFFLINE):
    program.add_command(_module.command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave the process with its exit code."""
    sys.exit(exit_code(sys.argv[1:] if arguments is None else arguments))


def exit_code(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; never raises."""
    try:
        result = program.main(list(arguments), prog_name="mesh7", standalone_mode=False)
    except click.ClickException as error:
        _complain(_usage_line(error))
        return exits.Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        return exits.Exit.INTERRUPTED
    except errors.ManifestError as error:
        # One finding a line, each with its place, as a compiler prints them.
        _complain(error.message)
        return exits.Exit.WRONG
    except errors.Mesh7Error as error:
        _complain(f"mesh7: {error.message}")
        return exits.code_for(error)
    except BrokenPipeError:
        # The interpreter would flush into the closed pipe once more and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.Exit.CLOSED_PIPE
    except Exception as error:  # noqa: BLE001 - the edge: no traceback reaches a user
        from mesh7_cli import crash  # noqa: PLC0415 - only the unexpected needs it

        _complain(crash.report(error, arguments))
        return exits.Exit.INTERNAL
    return int(result) if isinstance(result, int) else exits.Exit.OK


def _usage_line(error: click.ClickException) -> str:
    """Click's complaint in our words: small first letter, no full stop, and where to look."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else "mesh7"
    text = error.format_message().rstrip(".").replace("'", "`")
    return f"{path}: {text[:1].lower()}{text[1:]} – see `{path} --help`"


def _complain(line: str) -> None:
    click.echo(line, err=True)
