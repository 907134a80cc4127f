"""`kubectl mesh7 check`: whether mesh7 can be installed, and whether it works."""

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

from mesh7_cli import exits, options, output, plugin_options
from mesh7_cli.cluster import flags
from mesh7_cli.cluster.kubectl import Kubectl
from mesh7_core import errors

if TYPE_CHECKING:
    from mesh7_cli.checks.findings import Answer

AGAIN_S: Final = 2.0
NEVER: Final = timedelta()


@click.command("check")
@click.option("--pre", "is_before", is_flag=True, help="Only whether mesh7 can be installed.")
@click.option(
    "--wait",
    metavar="DURATION",
    callback=lambda context, parameter, text: (
        NEVER if text is None else options.read_duration(context, parameter, text)
    ),
    help="Ask again for so long, until nothing is broken.",
)
@plugin_options.form("table", "json", "yaml")
@plugin_options.release_namespace
@flags.connected
def command(*, kubectl: Kubectl, is_before: bool, wait: timedelta, form: str, release: str) -> int:
    """See that mesh7 can be installed, or that it works.

    Each question is answered with ok, warn or fatal. Exits 1 when one is fatal. What you may not
    see is a warning: ask as an administrator of the cluster for the whole picture.
    """
    # 60 ms that `--help` has no use for.
    from mesh7_cli.checks import findings, report  # noqa: PLC0415

    deadline = time.monotonic() + wait.total_seconds()
    found = _answers(kubectl, release, is_before=is_before)
    while findings.worst(found) is findings.Grade.FATAL and time.monotonic() < deadline:
        time.sleep(min(AGAIN_S, max(0.0, deadline - time.monotonic())))
        found = _answers(kubectl, release, is_before=is_before)
    if form == "table":
        for word, rest in report.lines(found):
            line = output.visible(rest)
            click.echo(f"  {output.coloured(word)}{' ' * (7 - len(word))}{line}" if word else line)
    else:
        output.write(report.as_object(found), output.Form(form))
    return exits.Exit.WRONG if findings.worst(found) is findings.Grade.FATAL else exits.Exit.OK


def _answers(kubectl: Kubectl, release: str, *, is_before: bool) -> "list[Answer]":
    from mesh7_cli.checks import catalogue, findings, gathering  # noqa: PLC0415 - see above

    try:
        if is_before:
            return findings.answers(catalogue.BEFORE, gathering.before(kubectl, release, _now))
        return findings.answers(catalogue.AFTER, gathering.after(kubectl, release, _now))
    except errors.ClusterError as error:
        return catalogue.unanswered(error)


def _now() -> datetime:
    return datetime.now(UTC)
