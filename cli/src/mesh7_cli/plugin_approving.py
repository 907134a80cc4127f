"""What the commands of `kubectl mesh7` about held calls share: the home, names, dry runs, codes."""

import os
from collections.abc import Sequence
from typing import Final

import click

from mesh7_cli import exits, output
from mesh7_cli.approving.cluster import SERVER, Cluster, Manner
from mesh7_cli.approving.everywhere import Everywhere
from mesh7_cli.backend import ANY, Deciding, Object, Pin
from mesh7_cli.cluster.kubectl import Kubectl
from mesh7_cli.verbs import decide
from mesh7_cli.verbs.layout import Layout

_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
"""As in names of pods: no word comes of them."""
_SUFFIX: Final = 5
_WIDE: Final = "wide"


def home(
    kubectl: Kubectl,
    namespace: str | None = None,
    manner: Manner | None = None,
    *,
    everywhere: bool = False,
) -> Cluster:
    """The held calls of the namespace that the person means, or of all."""
    meant = namespace if namespace is not None else None if everywhere else kubectl.namespace()
    return Cluster(kubectl, meant, new_suffix, manner)


def watched(kubectl: Kubectl, namespace: str | None) -> Deciding:
    """The same for who watches one namespace, or all."""
    if namespace is not None:
        return home(kubectl, namespace)
    return Everywhere(lambda one: Cluster(kubectl, one, new_suffix))


def new_suffix() -> str:
    """A few random letters."""
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in os.urandom(_SUFFIX))


def layout(form: str, *, everywhere: bool, no_headers: bool) -> Layout:
    """What `-o`, `-A` and `--no-headers` ask for."""
    return Layout(
        form=output.Form.TABLE if form == _WIDE else output.Form(form),
        is_wide=form == _WIDE,
        has_heads=not no_headers,
        has_namespaces=everywhere,
    )


def bare(given: Sequence[str], kind: str) -> list[str]:
    """Names without the kind that `-o name` prints before them."""
    return [one.removeprefix(kind) for one in given]


def agent(kubectl: Kubectl, given: str | None) -> tuple[str | None, str | None]:
    """An agent as requests show it → its namespace, None = it does not say, and its name."""
    if given is None or "/" not in given:
        return None, given
    namespace, _, name = given.partition("/")
    if kubectl.named not in (None, namespace):
        message = f"agent `{given}` is not of namespace `{kubectl.named}` – leave `-n` away"
        raise click.UsageError(message, ctx=click.get_current_context())
    return namespace, name


def answer(  # noqa: PLR0913 - what the options of `approve` and `deny` say
    kubectl: Kubectl,
    verb: str,
    given: Sequence[str],
    reason: str,
    *,
    wait_s: float,
    dry_run: str,
    form: str,
    unseen: bool = False,
    pin: Pin = ANY,
) -> int:
    """Say yes or no to each request, or show the Grants that would say it."""
    if pin != ANY and len(given) != 1:
        message = "--digest is of one call, name one request"
        raise click.UsageError(message, ctx=click.get_current_context())
    asked = home(kubectl, manner=Manner(wait_s=wait_s))
    meant = bare(given, asked.voice.request_kind)
    chosen = output.Form(form)
    if dry_run == "none":
        ended = decide.run(asked, verb, meant, reason, unseen=unseen, pin=pin, form=chosen)
        return code(ended)
    drafts = [
        draft for one in meant for draft in asked.answers(verb, one, reason, unseen=unseen, pin=pin)
    ]
    show_dry(asked, drafts, dry_run, chosen)
    return exits.Exit.OK


def show_dry(asked: Cluster, drafts: Sequence[Object], dry_run: str, form: output.Form) -> None:
    """Print manifests; of a dry run at the server what that would make of them."""
    made = list(drafts)
    if dry_run == SERVER:
        tried = asked.tried(drafts)
        made = list(tried.grants)
        for refusal in tried.refusals:
            output.note(refusal)
    if form is output.Form.NAME:
        for one in made:
            about = one["metadata"]
            name = about.get("name") if isinstance(about, dict) else ""
            click.echo(output.visible(f"{asked.voice.grant_kind}{name}"))
    elif form is output.Form.JSON:
        output.write(made[0] if len(made) == 1 else _list(made), form)
    else:
        for position, one in enumerate(made):
            if position:
                click.echo("---")
            output.write(one, output.Form.YAML)


def code(ended: int) -> int:
    """As kubectl ends: what was not done is 1, whatever the reason."""
    return exits.Exit.OK if ended == exits.Exit.OK else exits.Exit.WRONG


def _list(items: Sequence[Object]) -> Object:
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}
