"""The verb `grant`: a standing permission, bounded by time and by the rule that it relaxes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import ParamSpec, TypeVar

import click
from click.shell_completion import CompletionItem

from mesh7_cli import options, output, reading
from mesh7_cli.backend import Backend

P = ParamSpec("P")
R = TypeVar("R")
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
SHORTEST = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a permission is for, as it was typed."""

    tool: str
    span: timedelta
    uses: int | None
    when: str | None
    policy: str | None
    reason: str


def offered(
    tools: Complete | None = None, policies: Complete | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The argument TOOL and the options of its terms, in the order of the help.

    Args:
        tools, policies: what completion offers for them.
    """

    def offer(command: Callable[P, R]) -> Callable[P, R]:
        command = click.option(
            "--reason", metavar="TEXT", required=True, help="Why; kept with your name."
        )(command)
        command = click.option(
            "--policy",
            metavar="NS/NAME",
            shell_complete=policies,
            help="Whose rule it relaxes; needed when several policies ask.",
        )(command)
        for option in reversed(_BOUNDS):
            command = option(command)
        return click.argument("tool", shell_complete=tools)(command)

    return offer


_BOUNDS = (
    click.option(
        "--for",
        "span",
        metavar="DURATION",
        required=True,
        callback=options.read_duration,
        help="How long it stands, such as 30m.",
    ),
    click.option("--uses", metavar="N", type=click.IntRange(min=1), help="Only so many calls."),
    click.option(
        "--when", metavar="EXPR", help="Only calls for which this CEL expression is true."
    ),
)


def run(
    backend: Backend, terms: Terms, agent: str | None, form: output.Form, pod: str | None = None
) -> None:
    """Make it and say what it is.

    Args:
        agent: whose calls; None = the home's own, or those of the pod.
        pod: the one pod whose calls; only a cluster knows it.
    """
    made = backend.grant(wish(terms, agent, pod))
    name = reading.text(made, "name")
    if form is output.Form.NAME:
        click.echo(f"{backend.voice.grant_kind}{output.visible(name)}")
    elif form is output.Form.TABLE:
        click.echo(output.visible(_line(made, backend)))
    else:
        output.write(made, form)
    output.note(reading.text(made, "note"))


def wish(terms: Terms, agent: str | None, pod: str | None = None) -> dict[str, object]:
    """What is asked of a backend."""
    found: dict[str, object] = {
        "tool": terms.tool,
        "forSeconds": terms.span // SHORTEST,
        "uses": terms.uses,
        "when": terms.when,
        "reason": terms.reason,
        "agent": agent,
        "policy": terms.policy,
    }
    return found if pod is None else found | {"pod": pod}


def check(terms: Terms, program: str) -> None:
    """Refuse what cannot be meant; nothing was asked yet."""
    context = click.get_current_context()
    if "." not in terms.tool and terms.tool != "*":
        message = (
            f"`{terms.tool}` is no tool name, write <source>.<tool> as `{program} tools` shows them"
        )
        raise click.UsageError(message, ctx=context)
    if terms.span < SHORTEST or terms.span % SHORTEST:
        message = "--for takes whole seconds, at least `1s`"
        raise click.UsageError(message, ctx=context)
    if not terms.reason.strip():
        message = "--reason is empty – say why, others will read it"
        raise click.UsageError(message, ctx=context)
    if terms.policy is not None and not all(terms.policy.partition("/")):
        message = f"`{terms.policy}` is no policy, write <namespace>/<policy>"
        raise click.UsageError(message, ctx=context)


def _line(made: dict[str, object], backend: Backend) -> str:
    name = reading.text(made, "name")
    tools = " ".join(reading.texts(made, "tools"))
    who = reading.text(made, "agent") or reading.text(made, "pod") or "everybody"
    most = reading.number(made, "maxUses")
    uses = f", {most} {'use' if most == 1 else 'uses'}" if most else ""
    until = reading.text(made, "expiresAt")
    bounds = f"for {who} until {until}{uses}"
    word, when = "granted", ""
    if reading.truth(made, "isHandedIn"):
        word, when = "handed in", ", as soon as a controller answers"
    return f"{word} `{name}`: {tools} {bounds}{when} – end it with {backend.voice.ending(name)}"
