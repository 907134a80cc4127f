"""Options that several commands share, and the types they are read into."""

from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from mesh7_cli import output

P = ParamSpec("P")
R = TypeVar("R")

STATE_FOLDER = ".mesh7"
STATE_VARIABLE = "MESH7_STATE"

FOLDER = click.Path(path_type=Path, file_okay=False)


def state(command: Callable[P, R]) -> Callable[P, R]:
    """`--dir` and `--state`: where the gateway is that a command talks to."""
    command = click.option(
        "--state",
        type=FOLDER,
        envvar=STATE_VARIABLE,
        help=f"State folder of the gateway.  [default: DIR/{STATE_FOLDER}; env: {STATE_VARIABLE}]",
    )(command)
    return click.option(
        "--dir",
        "directory",
        metavar="DIR",
        type=FOLDER,
        default=".",
        show_default=True,
        help="Folder that the gateway was started with.",
    )(command)


def form(command: Callable[P, R]) -> Callable[P, R]:
    """`-o table|json|yaml`."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice([form.value for form in output.Form]),
        default=output.Form.TABLE.value,
        show_default=True,
        callback=lambda _context, _parameter, value: output.Form(value),
        help="Form of the output.",
    )(command)


def agent(command: Callable[P, R]) -> Callable[P, R]:
    """`--agent`, `--label`, `--namespace`: who is judged."""
    command = click.option(
        "--namespace",
        metavar="NS",
        help="Namespace of the agent.  [default: the one the folder names, else `default`]",
    )(command)
    command = click.option(
        "--label",
        "labels",
        metavar="K=V",
        multiple=True,
        callback=_labels,
        help="A label of the agent; may be given again.",
    )(command)
    return click.option(
        "--agent",
        "agent",
        metavar="NAME",
        default="default",
        show_default=True,
        help="Name (service account) of the agent.",
    )(command)


def state_folder(directory: Path, given: Path | None) -> Path:
    """The state folder: what was given, else the dot-folder in `directory`."""
    return (given if given is not None else directory / STATE_FOLDER).expanduser().absolute()


def _labels(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> dict[str, str]:
    labels: dict[str, str] = {}
    for item in value:
        key, equals, text = item.partition("=")
        if not equals or not key:
            message = f"`{item}` is not a label, write key=value"
            raise click.BadParameter(message, ctx=context, param=parameter)
        if labels.get(key, text) != text:
            message = f"label `{key}` is given twice with two values"
            raise click.BadParameter(message, ctx=context, param=parameter)
        labels[key] = text
    return labels
