"""One AuditQuery: handed in with a person's own rights, waited for, and deleted in any case."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from mesh7_cli import neutral, reading
from mesh7_cli.approving import paths
from mesh7_cli.cluster.errors import KubectlError, NotThereError
from mesh7_cli.cluster.kubectl import Kubectl, Object
from mesh7_cli.querying import spec
from mesh7_core import errors

QUERIES: Final = "auditqueries"
_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.4)
_LATEST_S: Final = 1.0
_DONE: Final = "Done"
_FAILED: Final = "Failed"
_AT_ONCE: Final = 4
T = TypeVar("T")


class Asking:
    """Asks questions, each an object of its own.

    Args:
        kubectl: as the person who asks.
        new_suffix: a few random letters, that make a name unique.
        wait_s: how long the controller is waited for.
    """

    def __init__(self, kubectl: Kubectl, new_suffix: Callable[[], str], wait_s: float) -> None:
        self._kubectl = kubectl
        self._new_suffix = new_suffix
        self._wait_s = wait_s
        self._person = ""
        self._is_over = threading.Event()

    def alike(self) -> "Asking":
        """Another one for the same person, that asks beside this one."""
        other = Asking(self._kubectl.alike(), self._new_suffix, self._wait_s)
        other._person = self.person
        return other

    def end(self) -> None:
        """Nobody waits for answers any more; what was handed in is deleted."""
        self._is_over.set()

    @property
    def person(self) -> str:
        """Who asks, as the API server knows them.

        Raises:
            ClusterError: it does not say.
        """
        if not self._person:
            question = ("auth", "whoami", "--output=jsonpath={.status.userInfo.username}")
            self._person = self._kubectl.text(*question).strip()
            if not self._person:
                raise KubectlError("the API server does not say who you are – log in again")
        return self._person

    def ask(self, namespace: str, asked: dict[str, object]) -> Object:
        """The status with which it was answered.

        Raises:
            ForbiddenError: this person may not ask there.
            ClusterError: it was not answered, or the answer is that it cannot be.
        """
        name = f"audit-{self._new_suffix()}"
        manifest = spec.manifest(namespace, name, self.person, asked)
        with self._deleted(namespace, name):
            paths.create(self._kubectl, QUERIES, manifest)
            status = self._awaited(namespace, name)
        if reading.text(status, "phase") == _FAILED:
            said = neutral.line(reading.text(status, "message"))
            raise errors.ClusterError(f"audit of namespace `{namespace}`: {said}")
        return status

    @contextlib.contextmanager
    def _deleted(self, namespace: str, name: str) -> Iterator[None]:
        """Also after Ctrl-C: the answer is nobody else's. The controller deletes it, too."""
        try:
            yield
        finally:
            with contextlib.suppress(errors.ClusterError):
                # The other one may be ending.
                paths.delete(self._kubectl.alike(), QUERIES, namespace, name)

    def _awaited(self, namespace: str, name: str) -> Object:
        deadline_s = time.monotonic() + self._wait_s
        phase = ""
        for pause_s in itertools.chain(_PAUSES_S, itertools.repeat(_LATEST_S)):
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or self._is_over.wait(min(pause_s, left_s)):
                break
            try:
                found = paths.one(self._kubectl, QUERIES, namespace, name)
            except NotThereError as error:
                message = f"auditquery `{name}` was deleted before it was answered – ask again"
                raise errors.ClusterError(message) from error
            status = reading.one(found, "status")
            phase = reading.text(status, "phase")
            if phase in {_DONE, _FAILED}:
                return status
        raise errors.ClusterError(self._silence(namespace, phase))

    def _silence(self, namespace: str, phase: str) -> str:
        if phase:
            return (
                f"audit of namespace `{namespace}`: not answered within {self._wait_s:.0f} s, and "
                "it waits or is being answered – ask again with a longer --wait"
            )
        return (
            f"audit of namespace `{namespace}`: no controller of mesh7 looked at the question "
            f"within {self._wait_s:.0f} s – `kubectl mesh7 check` says whether one runs"
        )


def together(asking: Asking, namespaces: Sequence[str], do: Callable[[Asking, str], T]) -> list[T]:
    """Ask about several namespaces, some at a time; the first error ends all.

    Raises:
        ClusterError: what one of them raised.
    """
    from concurrent import futures  # noqa: PLC0415 - 20 ms that `--help` has no use for

    pool = futures.ThreadPoolExecutor(_AT_ONCE)
    each = [asking.alike() for _ in namespaces]
    try:
        asked = [pool.submit(do, *one) for one in zip(each, namespaces, strict=True)]
        return [one.result() for one in asked]
    finally:
        # An error or Ctrl-C: those that are under way delete what they handed in.
        for one in each:
            one.end()
        pool.shutdown(wait=True, cancel_futures=True)
