"""`kubectl_complete-mesh7`: what kubectl's own completion offers after `kubectl mesh7`.

kubectl (1.26 and newer) runs it with the words typed so far and reads a line for each candidate
and then `:N`, cobra's directive. It never complains: whoever presses TAB has not said anything yet.
"""

import sys
from collections.abc import Iterator, Sequence
from enum import IntFlag
from typing import Final, NoReturn

import click
from click.shell_completion import CompletionItem, ShellComplete

from mesh7_cli import neutral, plugin, plugin_names
from mesh7_cli.cluster import flags
from mesh7_core import errors


class Directive(IntFlag):
    """Of cobra."""

    DEFAULT = 0
    """Files are offered where nothing else is."""
    NO_SPACE = 2
    NO_FILES = 4


NAMESPACES: Final = {"namespace", "release-namespace"}
_ASKED: Final = {
    "context": ("config", "get-contexts", "--output=name"),
    "cluster": ("config", "get-clusters"),
    "user": ("config", "get-users"),
}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Print the answer; the exit code is always 0."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    found, directive = complete(words or [""])
    for line in found:
        click.echo(line)
    click.echo(f":{directive.value}")
    sys.exit(0)


def complete(words: Sequence[str]) -> tuple[list[str], Directive]:
    """Candidates, a tab between each and its meaning; and what the shell is to do.

    Args:
        words: after the plugin's name; the last is what is being typed, and may be empty.
    """
    begun = words[-1]
    # `--output=js` is one word for the shell, two for click.
    flag, equals, value = begun.partition("=")
    if equals and flag.startswith("-"):
        found, directive = _found([*words[:-1], flag], value)
        return [f"{flag}={one}" for one in found], directive
    return _found(words[:-1], begun)


def _found(before: Sequence[str], begun: str) -> tuple[list[str], Directive]:
    items = ShellComplete(plugin.program, {}, plugin.NAME, "_M").get_completions(
        flags.normalised(before), begun
    )
    if any(one.type in {"file", "dir"} for one in items):
        return [], Directive.DEFAULT
    option = _option(before)
    if not items and option is not None:
        items = [one for one in _asked(option, before) if one.value.startswith(begun)]
    is_file = option in {"filename", "kubeconfig"} and not items
    return list(map(_line, items)), Directive.DEFAULT if is_file else Directive.NO_FILES


def _option(before: Sequence[str]) -> str | None:
    """The long name of the option that waits for its value."""
    last = before[-1] if before else ""
    short = {f"-{flag.short}": flag.name for flag in flags.FLAGS if flag.short}
    short["-f"] = "filename"
    if last.startswith("--"):
        return last.removeprefix("--")
    return short.get(last)


def _asked(option: str, before: Sequence[str]) -> Iterator[CompletionItem]:
    """Names that kubectl knows: of namespaces from the cluster, of others from the kubeconfig."""
    kubectl = flags.kubectl_of({**_given(before), "k_request_timeout": plugin_names.PATIENCE})
    try:
        if option in NAMESPACES:
            answer = kubectl.text("get", "namespaces", "--output=name")
        elif option in _ASKED:
            answer = kubectl.text(*_ASKED[option])
        else:
            return
    except errors.Mesh7Error:
        return
    for line in answer.splitlines():
        name = line.removeprefix("namespace/")
        # `get-clusters` and `get-users` print a head.
        if name and name != "NAME":
            yield CompletionItem(name)


def _given(before: Sequence[str]) -> flags.Given:
    """Flags of kubectl among the words so far; what cannot be understood is left out."""
    names = {f"--{flag.name}": flag for flag in flags.FLAGS if flag.metavar and not flag.is_many}
    found: flags.Given = {}
    for position, word in enumerate(before[:-1]):
        name, equals, value = word.partition("=")
        if name in names:
            found[flags.variable(names[name])] = value if equals else before[position + 1]
    return found


def _line(item: CompletionItem) -> str:
    # click cuts what commands say of themselves; a namespace may be named as one.
    told = plugin.COMMANDS.get(item.value, item.help) if item.help else None
    meaning = neutral.line(told) if told else ""
    return f"{neutral.line(str(item.value))}\t{meaning}".rstrip("\t")
