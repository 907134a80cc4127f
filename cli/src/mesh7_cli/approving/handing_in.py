"""Grants handed in with a person's own rights, and what the controller says became of them."""

import contextlib
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mesh7_cli import exits, neutral, reading
from mesh7_cli.approving import paths, records
from mesh7_cli.backend import Object
from mesh7_cli.cluster.errors import ForbiddenError, NotThereError
from mesh7_cli.cluster.kubectl import Kubectl
from mesh7_core import errors, names

_SOONEST_S: Final = 0.1
_LATEST_S: Final = 1.0
_APPROVER: Final = "mesh7-approver"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedIn:
    """What the API server took, and why it took no more.

    Attributes:
        grants: as it stored them.
        refusals: one text a Grant that this person may not make.
    """

    grants: tuple[Object, ...]
    refusals: tuple[str, ...]


def hand_in(kubectl: Kubectl, manifests: Iterable[Object], *, is_dry: bool = False) -> HandedIn:
    """Make each Grant that this person may make.

    Args:
        is_dry: have everything checked and nothing stored.

    Raises:
        ForbiddenError: this person may make none of them.
        ClusterError: one was refused for another reason, or nobody answers; the message says which
            are handed in all the same.
    """
    grants, refusals = [], []
    for manifest in manifests:
        try:
            grants.append(paths.create(kubectl, paths.GRANTS, manifest, is_dry=is_dry))
        except ForbiddenError as error:
            refusals.append(_told(kubectl, manifest, error))
        except (errors.ClusterError, KeyboardInterrupt):
            if is_dry or not grants:
                raise
            with kept(grants):
                raise
    if not grants:
        raise ForbiddenError("; ".join(refusals))
    return HandedIn(grants=tuple(grants), refusals=tuple(refusals))


def awaited(kubectl: Kubectl, grants: Sequence[Object], deadline_s: float) -> tuple[Object, ...]:
    """The Grants once the controller has said something about each, or as they are by then.

    Args:
        deadline_s: of `time.monotonic`.
    """
    found, steps = list(grants), pauses()
    while True:
        for position, grant in enumerate(found):
            if not is_answered(grant):
                found[position] = _now(kubectl, grant)
        if all(map(is_answered, found)) or not (pause_s := left(next(steps), deadline_s)):
            return tuple(found)
        time.sleep(pause_s)


def pauses() -> Iterator[float]:
    """How long to wait before each question but the first, in seconds: each is a kubectl."""
    return itertools.chain((_SOONEST_S, 0.2, 0.4, 0.8), itertools.repeat(_LATEST_S))


def left(pause_s: float, deadline_s: float) -> float:
    """As much of a pause as there is time for; 0 when it is over."""
    return max(0.0, min(pause_s, deadline_s - time.monotonic()))


@contextlib.contextmanager
def kept(grants: Sequence[Object]) -> Iterator[None]:
    """Where an error, or the person, ends the waiting: say that these stand all the same."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_still(grants)) from None
    except errors.ClusterError as error:
        raise type(error)(f"{error.message}; {_still(grants)}") from error


def is_answered(grant: Object) -> bool:
    """Whether the controller has said what became of it."""
    return reading.text(records.accepted(grant), "status") in {"True", "False"}


def is_accepted(grant: Object) -> bool:
    """Whether it counts."""
    return reading.text(records.accepted(grant), "status") == "True"


def _now(kubectl: Kubectl, grant: Object) -> Object:
    where, name = (reading.text(grant, "metadata", key) for key in ("namespace", "name"))
    try:
        return paths.one(kubectl, paths.GRANTS, where, name)
    except NotThereError as error:
        message = f"grant `{name}` was deleted before the controller answered – hand it in again"
        raise exits.RefusedError(message) from error


def _still(grants: Sequence[Object]) -> str:
    names = [neutral.line(reading.text(one, "metadata", "name")) for one in grants]
    where = neutral.line(reading.text(grants[0], "metadata", "namespace"))
    said = {records.YES: "your yes", records.NO: "your no"}
    effect = reading.text(grants[0], "spec", "effect")
    what = said.get(effect, "it") if reading.one(grants[0], "spec", "requestRef") else "it"
    return (
        f"{what} is handed in all the same – `kubectl mesh7 revoke {' '.join(names)} -n {where}` "
        "takes it back (needs `delete` on grants)"
    )


def _told(kubectl: Kubectl, manifest: Object, error: ForbiddenError) -> str:
    """Who lacks what; the API server's own words where nothing that we know of is lacking."""
    of, name = (reading.text(manifest, "spec", "policyRef", key) for key in ("namespace", "name"))
    if error.verb or not name:
        return error.message
    question = ("auth", "can-i", names.VERB_APPROVE, f"agentpolicies.{names.GROUP}/{name}")
    # A flag of its own: kubectl's `--namespace` is not among those given on.
    code, said, _ = kubectl.ran(*question, f"--namespace={of}")
    if code == 0 or said.strip() != "no":
        return error.message
    who = neutral.line(_who(kubectl))
    return (
        f"{who} may not approve for policy `{neutral.line(f'{of}/{name}')}`: the verb `approve` on "
        f"it is missing, as `kubectl {neutral.line(' '.join(question))} -n {neutral.line(of)}` "
        f"says – have an administrator bind ClusterRole `{_APPROVER}` (kubectl create rolebinding "
        f"in `{neutral.line(of)}`)"
    )


def _who(kubectl: Kubectl) -> str:
    code, said, _ = kubectl.ran("auth", "whoami", "--output=jsonpath={.status.userInfo.username}")
    return f"`{said.strip()}`" if code == 0 and said.strip() else "this person"
