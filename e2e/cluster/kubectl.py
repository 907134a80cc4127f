"""kubectl with one kubeconfig: what people type, and its answers as text or JSON."""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.cluster import making, reading
from e2e.cluster.speaking import NotSpokenError
from e2e.cluster.waiting import ClusterError

_PATIENCE_S = 110.0


class KubectlError(ClusterError):
    """kubectl said no.

    Attributes:
        code: its exit code.
        stderr: what it wrote to stderr: the API server's own words.
    """

    def __init__(self, arguments: Sequence[str], code: int, stderr: str) -> None:
        super().__init__(f"kubectl {' '.join(arguments)} – exit {code}: {stderr.strip()}")
        self.code = code
        self.stderr = stderr


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """kubectl as one user.

    Attributes:
        program: the binary.
        kubeconfig: who and where.
        home: stands for the user's home, so that caches and settings are the cluster's.
        is_spared: what is simple and often done is done without starting it.
    """

    program: Path
    kubeconfig: Path
    home: Path
    is_spared: bool = True

    def __call__(
        self, *arguments: str, stdin: str | None = None, timeout_s: float = _PATIENCE_S
    ) -> str:
        """Run it, and answer its stdout.

        Raises:
            KubectlError: it exits with another code than 0.
            subprocess.TimeoutExpired: it did not end in time.
        """
        if (
            self.is_spared
            and stdin is not None
            and (made := self._made(arguments, stdin)) is not None
        ):
            return made
        done = subprocess.run(
            [str(self.program), f"--kubeconfig={self.kubeconfig}", *arguments],
            input="" if stdin is None else stdin,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode != 0:
            raise KubectlError(arguments, done.returncode, done.stderr)
        return done.stdout

    def _made(self, arguments: Sequence[str], text: str) -> str | None:
        """What kubectl would say that it made of a text; None = ask it."""
        if not self.is_spared:
            return None
        try:
            return making.make(self.kubeconfig, arguments, text)
        except making.RefusedError as error:
            raise KubectlError(arguments, 1, str(error)) from None
        except NotSpokenError:
            return None

    def json(self, *arguments: str, stdin: str | None = None) -> dict[str, Any]:
        """The same with `-o json`, read."""
        if self.is_spared and arguments[0] == "get":
            try:
                return reading.read(self.kubeconfig, arguments[1:])
            except reading.NotThereError as error:
                said = f"Error from server (NotFound): {error}\n"
                raise KubectlError(arguments, 1, said) from None
            except NotSpokenError:
                pass  # kubectl knows more ways to ask, and its own words for what is wrong
        answer: dict[str, Any] = json.loads(self(*arguments, "-o", "json", stdin=stdin))
        return answer

    def apply(self, manifest: Path | str, *arguments: str) -> str:
        """Apply a file, a folder, or the text itself."""
        if isinstance(manifest, Path):
            return self("apply", "-f", str(manifest), *arguments)
        return self("apply", "-f", "-", *arguments, stdin=manifest)

    def wait(self, condition: str, *what: str, timeout_s: float = _PATIENCE_S) -> str:
        """Wait for `condition=Ready`, `delete`, `jsonpath=…` or `create`."""
        return self(
            "wait",
            f"--for={condition}",
            *what,
            f"--timeout={timeout_s:.0f}s",
            timeout_s=timeout_s + 5,
        )
