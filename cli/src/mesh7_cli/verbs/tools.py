"""Tools and their definitions, listed and accepted: what laptop and cluster share.

Tools are objects as `/control/tools` has them (docs/reference/control-api.md).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import click
from click.core import ParameterSource

from mesh7_cli import output, reading
from mesh7_core import errors
from mesh7_core.policy.definitions import State

STATES = frozenset({State.ACCEPTED.value, State.CHANGED.value, State.NEW.value})
"""Of a definition that is pinned."""
Tool = Mapping[str, object]
Text = Callable[[Tool], str]


def wanted(
    defined: Iterable[Tool], tools: Sequence[str], sources: Sequence[str], program: str
) -> list[Tool]:
    """What the command line names; every name must be there.

    Raises:
        ManifestError: a name is not there.
    """
    known = {full_name(tool): tool for tool in defined}
    listing = {reading.text(tool, "source") for tool in known.values()}
    for name in tools:
        if name not in known:
            message = f"no source lists a tool `{output.visible(name)}` – see `{program} tools`"
            raise errors.ManifestError(message)
    for source in sources:
        if source not in listing:
            message = f"source `{output.visible(source)}` lists no tool – see `{program} status`"
            raise errors.ManifestError(message)
    return [
        tool
        for name, tool in known.items()
        if name in tools or reading.text(tool, "source") in sources
    ]


def nothing_named() -> click.UsageError:
    """The complaint where a person names neither tools nor sources."""
    return click.UsageError(
        "name tools as `<source>.<tool>`, or a source with --all",
        ctx=click.get_current_context(silent=True),
    )


def fresh(found: Iterable[Tool]) -> list[Tool]:
    """Those that are not accepted as they are now."""
    return [tool for tool in found if reading.text(tool, "state") != State.ACCEPTED]


def digests(tools: Iterable[Tool]) -> dict[str, dict[str, str]]:
    """By source, then by the source's own name of the tool."""
    found: dict[str, dict[str, str]] = {}
    for tool in tools:
        of_source = found.setdefault(reading.text(tool, "source"), {})
        of_source[reading.text(tool, "name")] = reading.text(tool, "digest")
    return found


def summary(fresh: int, wanted: int, *, dry_run: bool) -> str:
    """What accepting came to."""
    if not fresh:
        return f"nothing to do: {counted(wanted)} accepted already"
    if dry_run:
        return f"{counted(fresh)} would be accepted – run it without --dry-run to do so"
    return f"{counted(fresh)} accepted"


def counted(number: int) -> str:
    """`1 tool`, `2 tools`."""
    return f"{number} tool{'' if number == 1 else 's'}"


def unpinned(sources: Iterable[Tool], digests: Mapping[str, object]) -> list[str]:
    """A warning for each source of which nothing is held against what was accepted."""
    return [
        f"pinning of `{name}` is `Ignore`, so that nothing is held against it – write"
        " `mode: Enforce` or `mode: Warn`"
        for source in sources
        if (name := reading.text(source, "name")) in digests
        and reading.text(source, "pinning") == "Ignore"
    ]


def table(
    seen: Sequence[Tool],
    hidden: Sequence[Tool],
    known: Mapping[str, Tool],
    last: tuple[str, Text],
    program: str,
) -> None:
    """Print tools by their full names, those that pinning hides after the others.

    Args:
        seen: listed tools; `name` is the full one.
        hidden: likewise.
        known: by full name.
        last: head and text of the last column.
        program: as people type it.
    """
    head, text = last
    rows = [_row(tool, known, "", text) for tool in seen]
    rows += [_row(tool, known, "(hidden) ", text) for tool in hidden]
    heads = ["tool", "definition", head]
    if not any(state in STATES for _, state, _ in rows):
        # Nothing is pinned: a column of dashes would say nothing.
        heads, rows = [heads[0], heads[2]], [[name, text] for name, _, text in rows]
    output.table(heads, rows)
    if hidden:
        click.echo(
            f"\n{counted(len(hidden))} hidden until accepted – look with"
            f" `{program} tools accept --dry-run NAME`"
        )


def _row(
    tool: Tool, known: Mapping[str, Tool], mark: str, text: Callable[[Tool], str]
) -> list[str]:
    name = reading.text(tool, "name")
    state = reading.text(known.get(name, {}), "state")
    return [name, state, mark + text(tool)]


def stands(tool: Tool) -> Mapping[str, object]:
    """For programs: how its definition stands to what people accepted."""
    return {
        "name": full_name(tool),
        "state": reading.text(tool, "state"),
        "isServed": reading.truth(tool, "isServed"),
        "digest": reading.text(tool, "digest"),
        "expected": reading.text(tool, "expected"),
    }


def of_source(source: str | None, tools: Iterable[Tool]) -> list[Tool]:
    """Those whose full names say so; None = all."""
    return [
        tool
        for tool in tools
        if source is None or reading.text(tool, "name").startswith(f"{source}.")
    ]


def refuse_misplaced(context: click.Context, subcommand: str) -> None:
    """An option that stands before the subcommand would be passed over in silence.

    Raises:
        click.UsageError: one stands there.
    """
    for name in context.params:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            message = f"write options after `{subcommand}`"
            raise click.UsageError(message)


def full_name(tool: Tool) -> str:
    """`<source>.<tool>`."""
    return f"{reading.text(tool, 'source')}.{reading.text(tool, 'name')}"
