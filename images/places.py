"""Where things lie, and how words are said: the checkout, its build folder, our cache."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
BUILD = CHECKOUT / "build"
WHEELHOUSE = BUILD / "wheelhouse"
ARCHIVES = BUILD / "images"
EPOCH = "1767225600"
"""Age of every file in an image and in our wheels, Unix seconds; the Dockerfiles name it too."""


class BuildError(Exception):
    """A step failed; the message says which, and what to do."""


def cache() -> Path:
    """What is kept for all checkouts of this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mesh7"


def say(text: str) -> None:
    """Tell the person who waits."""
    sys.stderr.write(f"mesh7: {text}\n")


def run(*argv: str, more: Mapping[str, str] | None = None) -> str:
    """Run a program to its end, and answer its stdout.

    Raises:
        BuildError: it is missing or failed; with the end of what it said.
    """
    try:
        done = subprocess.run(
            argv,
            cwd=CHECKOUT,
            env={**os.environ, **(more or {})},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise BuildError(
            f"{argv[0]} is missing; on Debian e2e/cluster/prepare installs it"
        ) from error
    if done.returncode != 0:
        told = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise BuildError(f"{' '.join(argv)} – exit {done.returncode}:\n{told}")
    return done.stdout
