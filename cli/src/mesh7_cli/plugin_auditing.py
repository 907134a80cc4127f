"""What the commands of `kubectl mesh7` about the audit share: whose records, and how to wait."""

from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

import click

from mesh7_cli import options
from mesh7_cli.cluster.kubectl import Kubectl
from mesh7_cli.records import Records

WAIT_S: Final = 30.0
VERIFY_S: Final = 240.0
"""Every record that is kept is read for it."""

P = ParamSpec("P")
R = TypeVar("R")


def wait(default_s: float = WAIT_S) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """`--wait`: how long the controller's answer is waited for, in seconds."""
    return click.option(
        "--wait",
        "wait_s",
        metavar="DURATION",
        default=f"{default_s:.0f}s",
        show_default=True,
        callback=_seconds,
        help="Wait so long for what the controller answers.",
    )


def records(kubectl: Kubectl, wait_s: float, *, everywhere: bool = False) -> Records:
    """The audit of the namespace that the person means, or of all that are enrolled.

    Raises:
        ClusterError: this person may not see which those are.
    """
    from mesh7_cli import plugin_approving  # noqa: PLC0415 - not for `--help`
    from mesh7_cli.querying.asking import Asking  # noqa: PLC0415
    from mesh7_cli.querying.cluster import Cluster  # noqa: PLC0415
    from mesh7_cli.querying.everywhere import Everywhere, namespaces  # noqa: PLC0415

    asking = Asking(kubectl, plugin_approving.new_suffix, wait_s)
    if everywhere:
        return Everywhere(asking, namespaces(kubectl))
    return Cluster(asking, kubectl.namespace())


def _seconds(context: click.Context, parameter: click.Parameter, text: str) -> float:
    return options.read_duration(context, parameter, text).total_seconds()
