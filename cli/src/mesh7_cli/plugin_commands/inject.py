"""`kubectl mesh7 inject`: what becomes of the pods of manifests when they are made."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mesh7_cli import exits, output, plugin_options, spelled
from mesh7_cli.cluster import flags
from mesh7_cli.cluster.kubectl import Kubectl
from mesh7_core.injection.outcomes import Level

if TYPE_CHECKING:
    from mesh7_cli.injecting.documents import Document
    from mesh7_cli.injecting.judging import Judged
    from mesh7_cli.injecting.surroundings import Given, Surroundings

REMINDER = "admission decides again when pods are made, whatever these manifests say"
HEADS = ("namespace", "object", "outcome", "level", "reason")
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("inject")
@click.option(
    "-f",
    "--filename",
    "files",
    metavar="FILE|DIR|-",
    multiple=True,
    required=True,
    help="Manifests; may be given again.",
)
@click.option("-R", "--recursive", is_flag=True, help="Folders in folders, too.")
@plugin_options.form("yaml", "json")
@click.option("--check", "is_check", is_flag=True, help="Print only what becomes of each pod.")
@click.option(
    "--level",
    type=click.Choice([level.value for level in Level]),
    help="As if every namespace asked for this level.",
)
@click.option("--settings", type=FILE, help="ConfigMap mesh7-injection, in place of the cluster's.")
@click.option("--trust-key", metavar="KEY", help="Key of ConfigMap mesh7-trust, likewise.")
@click.option(
    "--authorities", type=FILE, help="Certificates that vouch for the exchange, likewise."
)
@click.option("--offline", is_flag=True, help="Ask no cluster; needs --settings and --trust-key.")
@plugin_options.release_namespace
@flags.connected
def command(  # noqa: PLR0913 - one parameter an option
    *,
    kubectl: Kubectl,
    files: tuple[str, ...],
    recursive: bool,
    form: str,
    is_check: bool,
    level: str | None,
    settings: Path | None,
    trust_key: str | None,
    authorities: Path | None,
    offline: bool,
    release: str,
) -> int:
    """Show what becomes of pods when they are made.

    Prints the manifests with guarded pods; what makes no pods is printed as it is. When a pod
    would be refused nothing is printed but why. It changes nothing: admission decides again.
    """
    # 60 ms that `--help` has no use for.
    from mesh7_cli.injecting import documents, judging  # noqa: PLC0415
    from mesh7_cli.injecting.surroundings import Given  # noqa: PLC0415

    found = documents.read_all(files, is_deep=recursive)
    default = (kubectl.named or "default") if offline else kubectl.namespace()
    given = Given(
        release_namespace=release,
        settings=settings,
        trust_key=trust_key,
        authorities=authorities,
        level=Level(level) if level else None,
        documents=tuple(found),
    )
    namespaces = judging.namespaces_of(found, default)
    around = _surroundings(kubectl, given, namespaces, is_offline=offline)
    judged = judging.judge(found, around, default) if around is not None else []
    if is_check:
        _report(judged, is_json=form == "json")
    elif not judging.is_refused(judged):
        _print(found, judged, is_json=form == "json")
    _tell(judged, around)
    return exits.Exit.WRONG if judging.is_refused(judged) else exits.Exit.OK


def _surroundings(
    kubectl: Kubectl, given: "Given", namespaces: list[str], *, is_offline: bool
) -> "Surroundings | None":
    """None where no document makes a pod: then nothing needs to be known."""
    from mesh7_cli.injecting import surroundings  # noqa: PLC0415 - see above

    if not namespaces:
        return None
    if is_offline:
        return surroundings.from_files(given, namespaces)
    return surroundings.from_cluster(kubectl, given, namespaces)


def _print(found: "list[Document]", judged: "list[Judged]", *, is_json: bool) -> None:
    from mesh7_cli.injecting import judging  # noqa: PLC0415 - see above

    if is_json:
        click.echo(spelled.pretty(judging.listed(judging.values(found, judged))))
    else:
        click.echo(judging.texts(found, judged), nl=False)


def _report(judged: "list[Judged]", *, is_json: bool) -> None:
    from mesh7_cli.injecting import judging  # noqa: PLC0415 - see above

    if is_json:
        click.echo(spelled.pretty(judging.objects(judged)))
    else:
        output.table(HEADS, judging.rows(judged))


def _tell(judged: "list[Judged]", around: "Surroundings | None") -> None:
    """What people should know beside the manifests, on stderr."""
    from mesh7_cli.injecting import judging  # noqa: PLC0415 - see above

    for line in judging.lines(judged):
        click.echo(output.visible(line), err=True)
    if around is None:
        output.note("no document makes a pod, so that nothing changes")
        return
    for note in (*around.notes, REMINDER):
        output.note(note)
