"""Options that several commands of the plugin share."""

import re
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

import click

from mesh7_cli import options
from mesh7_cli.backend import ANY, Pin
from mesh7_core import names

WAIT_S: Final = 5.0
"""How long the controller is waited for."""

_DIGEST: Final = re.compile("sha256:[0-9a-f]{64}")

P = ParamSpec("P")
R = TypeVar("R")


def release_namespace(command: Callable[P, R]) -> Callable[P, R]:
    """`--release-namespace`: where mesh7 is installed."""
    return click.option(
        "--release-namespace",
        "release",
        metavar="NS",
        default=names.RELEASE_NAMESPACE,
        show_default=True,
        help="Namespace that mesh7 is installed in.",
    )(command)


def form(*forms: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """`-o`, the first form being the default."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(forms),
        default=forms[0],
        show_default=True,
        help="Form of the output.",
    )


def all_namespaces(command: Callable[P, R]) -> Callable[P, R]:
    """`-A`."""
    return click.option(
        "-A", "--all-namespaces", "everywhere", is_flag=True, help="All namespaces."
    )(command)


def no_headers(command: Callable[P, R]) -> Callable[P, R]:
    """`--no-headers`."""
    return click.option("--no-headers", is_flag=True, help="Leave the tables' heads away.")(command)


def dry_run(command: Callable[P, R]) -> Callable[P, R]:
    """`--dry-run`, as kubectl has it; alone it means `client` (`flags.normalised`)."""
    return click.option(
        "--dry-run",
        "dry_run",
        type=click.Choice(("none", "client", "server")),
        default="none",
        show_default=True,
        help="Print what would be handed in; `server` has it checked, too.",
    )(command)


def wait(command: Callable[P, R]) -> Callable[P, R]:
    """`--wait`: how long the controller's answer is waited for, in seconds."""
    return click.option(
        "--wait",
        "wait_s",
        metavar="DURATION",
        callback=_seconds,
        help="Wait so long for what the controller says; `false`: not at all.  [default: 5s]",
    )(command)


def pin(command: Callable[P, R]) -> Callable[P, R]:
    """`--digest`: the call that was looked at."""
    return click.option(
        "--digest",
        "pin",
        metavar="DIGEST",
        callback=_pin,
        help="Only if the call is still the one of this digest, as `show` has it.",
    )(command)


def _pin(context: click.Context, _: click.Parameter, text: str | None) -> Pin:
    if text is None:
        return ANY
    if not _DIGEST.fullmatch(text):
        message = f"`{text}` is no digest, write `sha256:` and 64 hexadecimal digits"
        raise click.UsageError(message, ctx=context)
    return Pin(digest=text)


def _seconds(context: click.Context, parameter: click.Parameter, text: str | None) -> float:
    """A duration; `true` and `false` as kubectl's own `--wait` has them."""
    if text is None or text.lower() == "true":
        return WAIT_S
    if text.lower() == "false":
        return 0.0
    return options.read_duration(context, parameter, text).total_seconds()
