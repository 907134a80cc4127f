"""What completion offers where a command wants a name: asked of the cluster, or nothing.

A completion never complains: whoever presses TAB has not said anything yet.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, ParamSpec, TypeVar

import click
from click.shell_completion import CompletionItem

from mesh7_cli import neutral, reading
from mesh7_cli.cluster import flags
from mesh7_cli.cluster.kubectl import Kubectl
from mesh7_core import errors, names

P = ParamSpec("P")
R = TypeVar("R")

PATIENCE: Final = "2s"

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
Offered = Iterable[tuple[str, str]]
"""Names, each with its meaning."""


def _completing(offered: Callable[[Kubectl], Offered]) -> Complete:
    def complete(
        context: click.Context, _parameter: click.Parameter, begun: str
    ) -> list[CompletionItem]:
        given = _given(context) | {"k_request_timeout": PATIENCE}
        kubectl = flags.kubectl_of(given)
        try:
            found = dict(offered(kubectl))
        except (errors.Mesh7Error, click.ClickException):
            return []
        return [
            CompletionItem(neutral.line(name), help=neutral.line(meaning) or None)
            for name, meaning in found.items()
            if name.startswith(begun)
        ]

    return complete


def _given(context: click.Context) -> flags.Given:
    """Kubectl's flags, wherever they stand before what is completed."""
    outer = {} if context.parent is None else _given(context.parent)
    return flags.merged(outer, context.params)


def _requests(kubectl: Kubectl) -> Offered:
    from mesh7_cli import plugin_approving  # noqa: PLC0415 - only for who presses TAB

    for one in plugin_approving.home(kubectl).requests("open"):
        if one["state"] == "pending":
            yield reading.text(one, "id"), f"{one['tool']} {one['agent']}"


def _grants(kubectl: Kubectl) -> Offered:
    from mesh7_cli import plugin_approving  # noqa: PLC0415 - only for who presses TAB

    for one in plugin_approving.home(kubectl).grants():
        yield reading.text(one, "name"), f"{one['effect']} {one['reason'] or ''}".strip()


def _named(kind: str) -> Callable[[Kubectl], Offered]:
    def offered(kubectl: Kubectl) -> Offered:
        where = f"--namespace={kubectl.namespace()}"
        for line in kubectl.text("get", kind, where, "--output=name").splitlines():
            yield line.partition("/")[2], ""

    return offered


def _policies(kubectl: Kubectl) -> Iterator[dict[str, object]]:
    from mesh7_cli.approving import paths  # noqa: PLC0415 - only for who presses TAB

    for one in paths.listed(kubectl, paths.POLICIES, kubectl.namespace()):
        asking = [
            rule
            for rule in reading.objects(one, "spec", "rules")
            if reading.text(rule, "action") == "RequireApproval"
        ]
        yield {"metadata": one.get("metadata"), "rules": asking}


def _tools(kubectl: Kubectl) -> Offered:
    for policy in _policies(kubectl):
        for rule in reading.objects(policy, "rules"):
            for tool in reading.texts(rule, "tools"):
                yield tool, reading.text(rule, "reason")


def _unaccepted(kubectl: Kubectl) -> Offered:
    from mesh7_cli.pinning import listing, reported  # noqa: PLC0415 - only for who presses TAB
    from mesh7_cli.verbs import tools as verb  # noqa: PLC0415 - likewise

    for source in listing.sources(kubectl).values():
        for one in verb.fresh(reported.tools(source)):
            yield verb.full_name(one), reading.text(one, "state")


def _asking(kubectl: Kubectl) -> Offered:
    for policy in _policies(kubectl):
        if policy["rules"]:
            parts = (reading.text(policy, "metadata", key) for key in ("namespace", "name"))
            yield "/".join(parts), ""


requests: Final = _completing(_requests)
"""Calls that wait for people, each with its tool and agent."""
grants: Final = _completing(_grants)
"""Standing grants and vetoes, each with its reason."""
agents: Final = _completing(_named("serviceaccounts"))
pods: Final = _completing(_named("pods"))
tools: Final = _completing(_tools)
"""As the rules that ask write them."""
sources: Final = _completing(_named(f"toolsources.{names.GROUP}"))
unaccepted: Final = _completing(_unaccepted)
"""Tools whose definitions are not accepted as they are, each with how it stands."""
policies: Final = _completing(_asking)
"""Those that ask."""


def some_requests(command: Callable[P, R]) -> Callable[P, R]:
    """The argument NAME... of held calls."""
    return click.argument(
        "identifiers", metavar="NAME...", nargs=-1, required=True, shell_complete=requests
    )(command)
