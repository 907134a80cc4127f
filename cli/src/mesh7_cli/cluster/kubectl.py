"""The program `kubectl`, run with the person's own flags: text in, text out, in bounded time.

Every login, proxy and certificate that kubectl knows works, and the API server's audit log names
the person. What is given to us as a token is given on and told to nobody.
"""

import contextlib
import copy
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Generator, Mapping, Sequence
from typing import Final

from mesh7_cli.cluster import complaints
from mesh7_cli.cluster.errors import KubectlError

Object = Mapping[str, object]

REQUEST_TIMEOUT_S: Final = 15.0
"""Of one request, where the person gives none."""
GRACE_S: Final = 15.0
"""Beyond that: for starting, discovery and logging in."""
PAGE: Final = 500
"""Objects of a list that one request asks for."""
MANY: Final = 20
"""Requests of one kubectl, one after the other, that may each take all of their time."""
_ENDING_S: Final = 2.0
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Kubectl:
    """kubectl as the person who runs us.

    Args:
        flags: kubectl's own, such as `--context=x`; given on unchanged, before everything else.
        namespace: the one that was named; None = whatever the kubeconfig says.
        request_timeout: as kubectl spells it; None = ours. `0` means no limit.
        grace_s: what it may take beyond that.

    Attributes:
        named: the namespace that was named; None = none was.
    """

    def __init__(
        self,
        flags: Sequence[str] = (),
        *,
        namespace: str | None = None,
        request_timeout: str | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        spelled = f"{REQUEST_TIMEOUT_S:.0f}s" if request_timeout is None else request_timeout
        self._flags = (*flags, f"--request-timeout={spelled}")
        self._request_s = _seconds(spelled)
        self._grace_s = grace_s
        self.named = namespace
        self._running: set[subprocess.Popen[str]] = set()
        self._is_closed = False
        self._lock = threading.Lock()

    def alike(self) -> "Kubectl":
        """Another one for the same person, that ends apart from this one."""
        found = copy.copy(self)
        found._running, found._lock = set(), threading.Lock()  # noqa: SLF001 - our own
        return found

    def text(self, *arguments: str, stdin: str | None = None, requests: int = 1) -> str:
        """Run it and answer its stdout.

        Args:
            requests: see `ran`.

        Raises:
            ClusterError: it failed; the kind of error says why (`mesh7_cli.cluster.errors`).
        """
        code, stdout, stderr = self.ran(*arguments, stdin=stdin, requests=requests)
        if code != 0:
            raise complaints.error_of(stderr, code)
        return stdout

    def json(self, *arguments: str, stdin: str | None = None) -> Object:
        """Run it with `-o json`; an empty answer (`--ignore-not-found`) is an empty object."""
        return read(self.text(*arguments, "--output=json", stdin=stdin))

    def listed(self, *arguments: str) -> Object:
        """The same of a list, however long: it is asked page by page."""
        paged = (*arguments, f"--chunk-size={PAGE}", "--output=json")
        return read(self.text(*paged, requests=MANY))

    def raw(self, path: str) -> Object:
        """What stands at a path of the API server, such as `/version`."""
        return read(self.text("get", "--raw", path))

    def namespace(self) -> str:
        """The one that commands are about: given by flag, else the kubeconfig's, else `default`."""
        if self.named is None:
            code, stdout, _ = self.ran(
                "config", "view", "--minify", "--output=jsonpath={..namespace}"
            )
            self.named = (stdout.strip() if code == 0 else "") or "default"
        return self.named

    def ran(
        self, *arguments: str, stdin: str | None = None, requests: int = 1
    ) -> tuple[int, str, str]:
        """Exit code, stdout and stderr.

        Args:
            requests: one after the other, each of which may take as long as a request may.

        Raises:
            KubectlError: there is none, it cannot be started, or it did not end in time.
        """
        # No limit on a request is none on all of them.
        patience_s = requests * self._request_s + self._grace_s if self._request_s else None
        process = self._start(arguments, has_input=stdin is not None)
        try:
            stdout, stderr = process.communicate(stdin, patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            _, stderr = process.communicate()
            raise _silence(stderr, patience_s or 0) from None
        finally:
            with self._lock:
                self._running.discard(process)
            if process.poll() is None:
                _end(process)
            # Ctrl-C leaves them open.
            _close(process)
        return process.returncode, stdout, stderr

    def lines(self, *arguments: str) -> Generator[str]:
        """Lines of its stdout as they come, for as long as it runs; `end` ends it.

        Raises:
            ClusterError: it failed, and nobody ended it.
        """
        # What is followed has no time; the last of two flags counts.
        process = self._start((*arguments, "--request-timeout=0"), has_input=False)
        try:
            yield from process.stdout or ()
            stderr = "" if process.stderr is None else process.stderr.read()
            code = process.wait()
        finally:
            with self._lock:
                self._running.discard(process)
            if process.poll() is None:
                _end(process)
            _close(process)
        # Below zero: a signal, which is ours, or the person's.
        if code > 0:
            raise complaints.error_of(stderr, code)

    def end(self) -> None:
        """End whatever still runs: nobody waits for it any more."""
        self._end_all()

    def close(self) -> None:
        """End whatever still runs, and start nothing any more."""
        with self._lock:
            self._is_closed = True
        self._end_all()

    def _end_all(self) -> None:
        with self._lock:
            left = tuple(self._running)
        for process in left:
            _end(process)

    def _start(self, arguments: Sequence[str], *, has_input: bool) -> "subprocess.Popen[str]":
        program = shutil.which("kubectl")
        if program is None:
            oldest = ".".join(map(str, complaints.OLDEST))
            message = f"no `kubectl` in PATH – install kubectl {oldest} or newer beside mesh7"
            raise KubectlError(message)
        try:
            process = subprocess.Popen(  # noqa: S603 - the person's own kubectl, no shell
                [program, *self._flags, *arguments],
                # Without input of ours the terminal stays theirs: a login may ask for a password.
                stdin=subprocess.PIPE if has_input else None,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            message = (
                f"kubectl cannot be started: {error.strerror} – is `kubectl` in PATH a program"
            )
            raise KubectlError(message) from error
        with self._lock:
            self._running.add(process)
            is_closed = self._is_closed
        if is_closed:
            # It was about to start when nobody waited any more.
            _end(process)
        return process


def written(value: Object) -> str:
    """What kubectl reads with `-f -`."""
    return json.dumps(value)


def read(text: str) -> Object:
    """What kubectl printed with `-o json`; nothing is an empty object.

    Raises:
        KubectlError: it is no JSON.
    """
    found = read_many(text)
    return found[0] if found else {}


def read_many(text: str) -> list[dict[str, object]]:
    """The same where it printed several objects, one after the other, as `create` does.

    Raises:
        KubectlError: it is no JSON.
    """
    decoder, found, rest = json.JSONDecoder(), [], text.lstrip()
    while rest:
        try:
            value, end = decoder.raw_decode(rest)
        except ValueError as error:
            raise KubectlError("kubectl did not answer in JSON – is it kubectl itself") from error
        if isinstance(value, dict):
            found.append(value)
        rest = rest[end:].lstrip()
    return found


def _close(process: "subprocess.Popen[str]") -> None:
    for pipe in filter(None, (process.stdin, process.stdout, process.stderr)):
        with contextlib.suppress(OSError):
            pipe.close()


def _end(process: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(_ENDING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _silence(stderr: str, patience_s: float) -> KubectlError:
    said = complaints.error_of(stderr, 1).message if stderr.strip() else "it said nothing"
    return KubectlError(
        f"kubectl did not end within {patience_s:.0f} s ({said}) – "
        "try `kubectl get --raw /version`; --request-timeout gives it more time"
    )


def _seconds(spelled: str) -> float:
    """How long one request may take; 0 = for ever, as the person asked."""
    if re.fullmatch(r"\d+", spelled):
        return float(spelled)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", spelled)
    if not parts:
        # What is spelled otherwise kubectl refuses by itself.
        return REQUEST_TIMEOUT_S
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
