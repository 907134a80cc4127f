"""How large a pod may become: its containers times what each is told of the namespace's sources.

Both are others' to choose, and small to write; the product is what the injector would have to make.
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Iterator, Sized
from typing import Final

from mesh7_core.injection import containers, variables
from mesh7_core.injection.known import Source
from mesh7_core.injection.outcomes import Problem, Refusal
from mesh7_core.injection.shapes import Object

MOST_CONTAINERS: Final = 200
"""Of a pod, ours aside; the kubelet itself is planned for far fewer."""
MOST_GIVEN_BYTES: Final = 1024 * 1024
"""Variables that are given to all containers; the API server stores no object above 1.5 MiB."""
_AROUND: Final = len('{"name": "", "value": ""}, ')


def problems(pod: Object, sources: Iterable[Source]) -> Iterator[Problem]:
    """Why the pod is not looked at any further."""
    count = sum(1 for _ in containers.others(pod))
    if count > MOST_CONTAINERS:
        yield _problem(
            f"the pod has {count} containers, and at most {MOST_CONTAINERS} are given a sidecar: "
            "make several pods of it"
        )
        return
    given = variables.of_agents(sources)
    each = sum(len(one.name) + len(one.value) + _AROUND for one in given)
    if count * each > MOST_GIVEN_BYTES:
        yield _problem(
            f"{count} containers times {_counted(given)} are {count * each} bytes of variables, "
            f"and {MOST_GIVEN_BYTES} is the most: use fewer containers, or put ToolSources that "
            "this agent does not need into another namespace"
        )


def _counted(given: Sized) -> str:
    return f"{len(given)} URLs of the namespace's ToolSources"


def _problem(message: str) -> Problem:
    return Problem(reason=Refusal.TOO_LARGE, path="spec", message=message)
