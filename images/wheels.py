"""Wheelhouses: what an image installs, fetched and built outside of it, held to hashes.

`build/wheelhouse/PROGRAM/others` has other people's wheels and pip, `…/ours` our own; each with
the `requirements.txt` that names all of it. So a build needs no network, and no package index.
"""

import hashlib
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from images import places

MEMBERS = {"sidecar": ("core", "sidecar"), "operator": ("core", "operator")}
"""Program → the distributions of this workspace that its image holds."""
_MACHINES = {"x86_64": "x86_64", "aarch64": "aarch64", "amd64": "x86_64", "arm64": "aarch64"}
# Debian 12, the oldest base that is tried, has glibc 2.36.
_NEWEST_GLIBC = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an image's Python is.

    Attributes:
        python: `3.13`.
        machine: as `uname -m` says it, or as container tools do.
    """

    python: str
    machine: str

    @property
    def platforms(self) -> list[str]:
        """Platform tags of wheels that it takes."""
        machine = _MACHINES.get(self.machine, self.machine)
        newer = [f"manylinux_2_{minor}_{machine}" for minor in range(_NEWEST_GLIBC, 4, -1)]
        return [*newer, f"manylinux2014_{machine}", f"manylinux2010_{machine}"]

    @property
    def environment(self) -> dict[str, str]:
        """What markers are judged by; pip judges them by the Python that runs it."""
        return {
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": _MACHINES.get(self.machine, self.machine),
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            # The oldest patch release that a base of this minor version has.
            "python_full_version": "3.11.2" if self.python == "3.11" else f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }


def fill(name: str, target: Target) -> Path:
    """Fetch and build the wheels of one image; instant when the right ones lie there.

    Raises:
        BuildError: a pin has no wheel for this Python and machine, or the index is out of reach.
    """
    home = places.WHEELHOUSE / name
    _fill_others(name, target, home / "others")
    if name in MEMBERS:
        build_ours(MEMBERS[name], home / "ours")
    return home


def build_ours(members: Sequence[str], folder: Path) -> None:
    """Build our own wheels, the same bytes for the same sources, and pin them by hash."""
    _emptied(folder)
    for member in members:
        places.run(
            *("env", "-C", str(places.CHECKOUT / member), sys.executable, "-m"),
            *("flit_core.wheel", "--outdir", str(folder)),
            more={"SOURCE_DATE_EPOCH": places.EPOCH},
        )
    lines = []
    for wheel in sorted(folder.glob("*.whl")):
        name, version, *_ = wheel.name.split("-")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        lines.append(f"{name.replace('_', '-')}=={version} --hash=sha256:{digest}\n")
    (folder / "requirements.txt").write_text("".join(lines))


def pins(text: str, target: Target) -> Iterator[str]:
    """The entries of a hash-locked file that the target needs, hashes included."""
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        if not line or line.startswith("#"):
            continue
        need, *hashes = re.split(r"\s+--hash=", line)
        marker = Requirement(need.strip()).marker
        if marker is None or marker.evaluate(target.environment):
            pin = need.partition(";")[0].strip()
            yield " ".join([pin, *(f"--hash={one.strip()}" for one in hashes)])


def _fill_others(name: str, target: Target, folder: Path) -> None:
    locked = [_locked(part) for part in ("pip", name)]
    wanted, *more = ("".join(f"{pin}\n" for pin in pins(text, target)) for text in locked[::-1])
    asked = "".join([*more, wanted])
    stamp = folder / "stamp"
    key = hashlib.sha256(f"{asked}{target}".encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == key:
        return
    places.say(f"fetching {asked.count('==')} wheels for {name}, Python {target.python}")
    _emptied(folder)
    (folder / "asked.txt").write_text(asked)
    places.run(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps"),
        *("--only-binary=:all:", f"--python-version={target.python}", "--implementation=cp"),
        *(f"--platform={platform}" for platform in target.platforms),
        *(f"--dest={folder}", f"--requirement={folder / 'asked.txt'}"),
    )
    (folder / "asked.txt").unlink()
    (folder / "requirements.txt").write_text(wanted)
    stamp.write_text(key)


def _locked(name: str) -> str:
    return (places.CHECKOUT / "requirements" / f"{name}.txt").read_text()


def _emptied(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
