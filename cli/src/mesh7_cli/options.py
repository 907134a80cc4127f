"""Options that several commands share, and the types they are read into."""

from collections.abc import Callable
from datetime import timedelta
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
    return _form([output.Form.TABLE, output.Form.JSON, output.Form.YAML])(command)


def list_form(command: Callable[P, R]) -> Callable[P, R]:
    """`-o table|json|yaml|name`, where things with an id or a name are listed."""
    return _form(list(output.Form))(command)


def _form(forms: list[output.Form]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice([form.value for form in forms]),
        default=output.Form.TABLE.value,
        show_default=True,
        callback=lambda _context, _parameter, value: output.Form(value),
        help="Form of the output.",
    )


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


def read_duration(context: click.Context, parameter: click.Parameter, text: str) -> timedelta:
    """An option's callback: `30m`, `1h30m`, `500ms`."""
    from mesh7_core.api import quantities  # noqa: PLC0415 - 50 ms that few commands need

    try:
        return quantities.parse_duration(text)
    except quantities.BadQuantity as error:
        raise click.BadParameter(error.message, ctx=context, param=parameter) from error


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
