"""What a person may see and what not: questions asked side by side, each with its own answer.

A person with few rights sees part of the picture; what is missing is said, and never guessed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mesh7_cli import reading
from mesh7_cli.cluster.errors import ForbiddenError, NoSuchKindError, NotThereError
from mesh7_cli.cluster.kubectl import Kubectl, Object

AT_ONCE: Final = 4
_STEP_S: Final = 0.05
_MOST_STEPS: Final = 20

Question = Callable[[Kubectl], Object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The answer.

    Attributes:
        value: one object, or a list with `items`.
    """

    value: Object

    @property
    def items(self) -> list[dict[str, object]]:
        """Of a list."""
        return reading.objects(self.value, "items")


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """There is none, or the API server does not know the kind."""

    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """This person may not see it."""

    note: str


Look = Seen | Absent | Hidden


def get(*arguments: str) -> Question:
    """The question `kubectl get …`."""
    return lambda kubectl: kubectl.json("get", *arguments)


def listed(*arguments: str) -> Question:
    """The same of a list, which may be long."""
    return lambda kubectl: kubectl.listed("get", *arguments)


def raw(path: str) -> Question:
    """The question `kubectl get --raw PATH`."""
    return lambda kubectl: kubectl.raw(path)


def secret_keys(secrets: Sequence[str], keys: Sequence[str], *arguments: str) -> Question:
    """These keys of Secrets, as a list; their others, private keys among them, are not printed.

    Args:
        secrets: names, one or more.
        arguments: of `kubectl get`, where they are.
    """
    fields = [".metadata.name", *(".data." + key.replace(".", r"\.") for key in keys)]
    row = r'{"\t"}'.join(f"{{{field}}}" for field in fields) + r'{"\n"}'
    # kubectl prints an object where one is named, and a list where several are.
    template = row if len(secrets) == 1 else f"{{range .items[*]}}{row}{{end}}"

    def ask(kubectl: Kubectl) -> Object:
        told = kubectl.text("get", "secrets", *secrets, *arguments, f"--output=jsonpath={template}")
        rows = [line.split("\t") for line in told.splitlines()]
        return {"items": [_secret(name, keys, values) for name, *values in rows]} if rows else {}

    return ask


def look(kubectl: Kubectl, question: Question) -> Look:
    """Ask one question.

    Raises:
        ClusterError: nobody answers, or answers something else than yes, no and not there.
    """
    try:
        found = question(kubectl)
    except ForbiddenError as error:
        return Hidden(note=error.message)
    except (NotThereError, NoSuchKindError) as error:
        return Absent(note=error.message)
    return Seen(value=found) if found else Absent(note="there is none")


def look_together(kubectl: Kubectl, questions: Mapping[str, Question]) -> dict[str, Look]:
    """Ask all of them, some at a time; the first error ends all.

    Raises:
        ClusterError: see `look`.
    """
    from concurrent import futures  # noqa: PLC0415 - 20 ms that `--help` has no use for

    pool = futures.ThreadPoolExecutor(AT_ONCE)
    asked: dict[str, futures.Future[Look]] = {}
    try:
        for name, question in questions.items():
            asked[name] = pool.submit(look, kubectl, question)
        for one in futures.wait(asked.values(), return_when=futures.FIRST_EXCEPTION).done:
            one.result()
        return {name: one.result() for name, one in asked.items()}
    finally:
        # An error or Ctrl-C: nobody reads the other answers any more.
        pool.shutdown(wait=False, cancel_futures=True)
        # More than once: one may be about to start its kubectl just now.
        for _ in range(_MOST_STEPS):
            kubectl.end()
            if all(one.done() for one in asked.values()):
                break
            futures.wait(asked.values(), _STEP_S)


def _secret(name: str, keys: Sequence[str], values: Sequence[str]) -> Object:
    written = {key: text for key, text in zip(keys, values, strict=False) if text}
    return {"metadata": {"name": name}, "data": written}


def items(found: Look) -> list[dict[str, object]]:
    """Those of a list that was seen; none otherwise."""
    return found.items if isinstance(found, Seen) else []


def value(found: Look) -> Object:
    """The object that was seen; empty otherwise."""
    return found.value if isinstance(found, Seen) else {}


def notes(found: Mapping[str, Look]) -> tuple[str, ...]:
    """What this person may not see, each once."""
    return tuple(dict.fromkeys(one.note for one in found.values() if isinstance(one, Hidden)))
