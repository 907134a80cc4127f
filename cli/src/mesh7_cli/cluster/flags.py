"""kubectl's own flags after the plugin's name, given on to kubectl unchanged.

kubectl refuses them before a plugin's name and reads none after it, so that we do.
"""

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import click

from mesh7_cli.cluster.kubectl import Kubectl


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One of kubectl's.

    Attributes:
        name: without hyphens.
        short: its letter; empty without one.
        metavar: empty for a switch.
        is_shown: in each command's help; the others are in `kubectl options`.
    """

    name: str
    help: str
    short: str = ""
    metavar: str = ""
    is_many: bool = False
    is_shown: bool = False


FLAGS: Final = (
    Flag(name="namespace", short="n", metavar="NS", help="Namespace.", is_shown=True),
    Flag(name="context", metavar="NAME", help="Context of the kubeconfig.", is_shown=True),
    Flag(name="kubeconfig", metavar="FILE", help="Kubeconfig file.", is_shown=True),
    Flag(name="cluster", metavar="NAME", help="Cluster of the kubeconfig."),
    Flag(name="user", metavar="NAME", help="User of the kubeconfig."),
    Flag(name="as", metavar="USER", help="Act as this user."),
    Flag(name="as-group", metavar="GROUP", help="Act as a member of it.", is_many=True),
    Flag(name="as-uid", metavar="UID", help="Act under this UID."),
    Flag(name="request-timeout", metavar="DURATION", help="Time for one request; 0 = any."),
    Flag(name="server", short="s", metavar="URL", help="Address of the API server."),
    Flag(name="token", metavar="TOKEN", help="Bearer token for the API server."),
    Flag(name="username", metavar="NAME", help="For basic authentication."),
    Flag(name="password", metavar="TEXT", help="For basic authentication."),
    Flag(name="certificate-authority", metavar="FILE", help="Authority of the API server."),
    Flag(name="client-certificate", metavar="FILE", help="Certificate to log in with."),
    Flag(name="client-key", metavar="FILE", help="Its key."),
    Flag(name="tls-server-name", metavar="NAME", help="Name in the API server's certificate."),
    Flag(name="insecure-skip-tls-verify", help="Believe any certificate."),
    Flag(name="disable-compression", help="Ask for plain answers."),
    Flag(name="cache-dir", metavar="DIR", help="Where kubectl keeps what it learned."),
)
OURS: Final = ("namespace", "request-timeout")
"""Those that we read ourselves; the others go through."""

SWITCHES: Final = frozenset(
    {f"--{flag.name}" for flag in FLAGS if not flag.metavar}
    | {"--all", "--all-namespaces", "--no-headers", "--unseen"}
)

_DRY: Final = "--dry-run"
_DRY_RUNS: Final = frozenset({"none", "client", "server"})

Given = dict[str, object]


def normalised(arguments: Sequence[str]) -> list[str]:
    """As Go programs take them: `--switch=true`, `-n=shop`, `-o=json` mean what they say.

    And as kubectl takes it, `--dry-run` without a value is `client`.
    """
    kept: list[str] = []
    for position, one in enumerate(arguments):
        if one == "--":
            return [*kept, *arguments[position:]]
        name, equals, value = one.partition("=")
        if equals and name in SWITCHES and value.lower() in {"true", "1", "t"}:
            kept.append(name)
        elif equals and name in SWITCHES and value.lower() in {"false", "0", "f"}:
            continue
        elif equals and re.fullmatch(r"-[a-zA-Z]", name):
            kept.append(f"{name}{value}")
        elif one == _DRY and not _DRY_RUNS.intersection(arguments[position + 1 : position + 2]):
            kept.append(f"{_DRY}=client")
        else:
            kept.append(one)
    return kept


def offered(command: Callable[..., int]) -> Callable[..., int]:
    """Offer kubectl's flags, all but those in help hidden; given as keywords."""
    for flag in reversed(FLAGS):
        names = [f"-{flag.short}"] if flag.short else []
        command = click.option(
            *names,
            f"--{flag.name}",
            variable(flag),
            metavar=flag.metavar or None,
            is_flag=not flag.metavar,
            multiple=flag.is_many,
            hidden=not flag.is_shown,
            help=flag.help,
            default=None if flag.metavar and not flag.is_many else () if flag.is_many else False,
            shell_complete=None,
        )(command)
    return command


def connected(command: Callable[..., int]) -> Callable[..., int]:
    """Offer kubectl's flags and give the command a `kubectl` that has them."""

    @functools.wraps(command)
    def with_kubectl(**arguments: object) -> int:
        given = {variable(flag): arguments.pop(variable(flag)) for flag in FLAGS}
        context = click.get_current_context()
        kubectl = kubectl_of(merged(context.parent.obj if context.parent else None, given))
        try:
            return command(kubectl=kubectl, **arguments)
        finally:
            kubectl.end()

    return offered(with_kubectl)


def kubectl_of(given: Given) -> Kubectl:
    """A kubectl with these flags."""
    namespace = given.get("k_namespace")
    timeout = given.get("k_request_timeout")
    return Kubectl(
        spelled(given),
        namespace=str(namespace) if namespace else None,
        request_timeout=str(timeout) if timeout is not None else None,
    )


def spelled(given: Given) -> list[str]:
    """Those that go through, as kubectl takes them."""
    found: list[str] = []
    for flag in FLAGS:
        value = given.get(variable(flag))
        if flag.name in OURS or not value:
            continue
        if isinstance(value, Iterable) and not isinstance(value, str):
            found.extend(f"--{flag.name}={one}" for one in value)
        else:
            found.append(f"--{flag.name}={value}" if flag.metavar else f"--{flag.name}")
    return found


def merged(before: object, given: Given) -> Given:
    """What stands before the command's name and after it; the latter wins."""
    outer = before if isinstance(before, dict) else {}
    return {
        name: value if value not in (None, (), False) else outer.get(name, value)
        for name, value in given.items()
    }


def variable(flag: Flag) -> str:
    """The keyword under which a flag is given; apart from the names of our own options."""
    return f"k_{flag.name.replace('-', '_')}"
