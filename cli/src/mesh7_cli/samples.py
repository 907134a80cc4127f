"""Calls to try, taken from the cases that lie beside the policies.

A folder that says what its policies must do has the best examples of what to try.
"""

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mesh7_core import errors, names
from mesh7_core.compiling import cases
from mesh7_core.policy.calls import Family
from mesh7_sidecar.bundles import folder

EXPECTED = ("Allow", "Hold", "Deny")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One call to try.

    Attributes:
        name: what will come of it, in the words of its case.
        words: tool and arguments, quoted for a shell.
    """

    name: str
    words: str


def in_folder(directory: Path) -> list[Sample]:
    """The first allowed, held and denied call of the folder's cases, ready for a shell.

    Empty when there are no cases; a folder that cannot be read has been complained about.
    """
    try:
        files = folder.read(directory)
    except errors.SettingsError:
        return []
    mark = names.POLICY_CASES.encode()
    found = cases.read_cases({name: text for name, text in files.items() if mark in text})
    return [_sample(case) for expected in EXPECTED for case in _first(found.cases, expected)]


def _first(found: Iterable[cases.Case], expected: str) -> list[cases.Case]:
    fitting = (
        case
        for case in found
        if case.family is Family.TOOLS
        and case.written.http is None
        and case.written.arguments
        and case.written.expect == expected
    )
    return list(fitting)[:1]


def _sample(case: cases.Case) -> Sample:
    arguments = shlex.quote(json.dumps(case.written.arguments, ensure_ascii=False))
    tool = shlex.quote(f"{case.source}.{case.name}")
    return Sample(name=case.written.name, words=f"{tool} {arguments}")
