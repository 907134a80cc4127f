"""What the API server does with our patch."""

import copy
from typing import Any

from tests.operator.injector import opened


def patched(pod: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """The pod as it is stored after this answer."""
    found = copy.deepcopy(pod)
    for change in opened.patch_of(answer):
        _apply(found, change)
    return found


def _apply(value: Any, change: dict[str, Any]) -> None:
    path = [part.replace("~1", "/").replace("~0", "~") for part in change["path"].split("/")[1:]]
    for part in path[:-1]:
        value = value[int(part)] if isinstance(value, list) else value[part]
    if isinstance(value, list):
        _apply_to_list(value, path[-1], change)
    elif change["op"] == "remove":
        del value[path[-1]]
    else:
        value[path[-1]] = change["value"]


def _apply_to_list(value: list[Any], at: str, change: dict[str, Any]) -> None:
    position = len(value) if at == "-" else int(at)
    if change["op"] == "add":
        value.insert(position, change["value"])
    elif change["op"] == "remove":
        del value[position]
    else:
        value[position] = change["value"]
