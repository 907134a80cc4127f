"""Makes the one file: our wheels and what they import of others, for each Python, packed once.

It holds what `kubectl mesh7` imports and no more: the gateway's server parts are left out. The same
pins and sources give the same bytes.
"""

import hashlib
import io
import os
import shutil
import stat
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from images import places, wheels
from images.places import BuildError
from images.wheels import Target

PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
MEMBERS: Final = ("core", "sidecar", "cli")
NEEDED: Final = (
    "annotated-types", "cel-expr-python", "cffi", "click", "cryptography", "jiter", "orjson",
    "pydantic", "pydantic-core", "pyyaml", "rich", "typing-extensions", "typing-inspection",
)  # fmt: skip
"""Of others; a test starts every command with nothing beside them."""
NAME: Final = "kubectl-mesh7"
COMPLETES: Final = "kubectl_complete-mesh7"
SHEBANG: Final = b"#!/usr/bin/env python3\n"
COMMON: Final = "common"
_LINUX: Final = {"x86_64": "x86_64-manylinux_2_28", "aarch64": "aarch64-manylinux_2_28"}
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_STARTED: Final = Path(__file__).parent / "started.py"
_UNUSED: Final = "cel_expr_python/ext"
"""Of no use to us, and larger than all the rest."""
_AGE: Final = (1980, 1, 1, 0, 0, 0)
_MOST: Final = 9

Files = Mapping[str, bytes]


def platform() -> str:
    """`linux-amd64`, as archives are called."""
    machine = os.uname().machine
    return f"{sys.platform}-{_MACHINES.get(machine, machine)}"


def make(folder: Path, pythons: Sequence[str] = PYTHONS) -> tuple[Path, Path]:
    """The one file `kubectl-mesh7.pyz`, and an archive with it for this machine's platform.

    Raises:
        BuildError: a pin has no wheel for a Python, or the index is out of reach.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{NAME}.pyz"
    file.write_bytes(one_file({_tag(one): _installed(one) for one in pythons}))
    file.chmod(0o755)
    version = _version()
    archive = folder / f"{NAME}-{version}-{platform()}.tar.gz"
    archive.write_bytes(_packed(file.read_bytes()))
    return file, archive


def one_file(installed: Mapping[str, Files]) -> bytes:
    """What starts with every Python of which the installed files are given.

    Args:
        installed: by tag of the Python, such as `cp311`, its files by their path.
    """
    shared = _shared(list(installed.values()))
    inner = {COMMON: _zipped(shared)}
    for tag, files in installed.items():
        inner[tag] = _zipped({path: one for path, one in files.items() if path not in shared})
    content = hashlib.sha256(b"".join(hashlib.sha256(one).digest() for one in inner.values()))
    started = _STARTED.read_text().replace("@CONTENT@", content.hexdigest()[:32])
    started = started.replace('"@TAGS@"', ", ".join(f'"{one}"' for one in installed))
    outer = {f"{name}.zip": one for name, one in inner.items()}
    # Packed already; and Python's own reader of zips wants little to read.
    return SHEBANG + _zipped({"__main__.py": started.encode(), **outer}, zipfile.ZIP_STORED)


def _shared(all_files: Sequence[Files]) -> dict[str, bytes]:
    """Files that are the same for every Python."""
    first, *others = all_files
    return {
        path: one for path, one in first.items() if all(files.get(path) == one for files in others)
    }


def _installed(python: str) -> dict[str, bytes]:
    """Everything to import with that Python, by path."""
    target = places.BUILD / "plugin" / python
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    machine = os.uname().machine
    asked = target.with_name(f"{python}.txt")
    asked.write_text("".join(f"{pin}\n" for pin in _pins(Target(python=python, machine=machine))))
    ours = target.with_name("ours")
    wheels.build_ours(MEMBERS, ours)
    installing = (
        str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--no-deps",
        f"--python-version={python}", f"--target={target}", "--link-mode=copy",
    )  # fmt: skip
    at = (f"--python-platform={_LINUX[machine]}",) if sys.platform == "linux" else ()
    more = {"UV_SYSTEM_CERTS": "1"}
    hashed = ("--require-hashes", "--only-binary=:all:", f"--requirement={asked}")
    places.run(*installing, *at, *hashed, more=more)
    places.run(*installing, *at, *map(str, sorted(ours.glob("*.whl"))), more=more)
    return {
        path.relative_to(target).as_posix(): path.read_bytes()
        for path in sorted(target.rglob("*"))
        if path.is_file() and _is_kept(path.relative_to(target))
    }


def _is_kept(path: Path) -> bool:
    if path.is_relative_to(_UNUSED):
        return False
    # Scripts, locks and records of the installer: of an installation, not of a program.
    return path.parts[0] not in {"bin", ".lock"} and path.name not in {
        "RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json",
    }  # fmt: skip


def _pins(target: Target) -> list[str]:
    locked = (places.CHECKOUT / "requirements" / "run.txt").read_text()
    found = {pin.partition("==")[0]: pin for pin in wheels.pins(locked, target)}
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise BuildError(f"requirements/run.txt pins no {', '.join(missing)}; see `make pins`")
    return [found[name] for name in NEEDED]


def _zipped(files: Files, how: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", how, compresslevel=_MOST) as parts:
        for path in sorted(files):
            about = zipfile.ZipInfo(path, _AGE)
            about.compress_type = how
            about.external_attr = (stat.S_IFREG | 0o644) << 16
            parts.writestr(about, files[path])
    return made.getvalue()


def _packed(file: bytes) -> bytes:
    """The archive: the file as kubectl finds it, and beside it what completes."""
    import gzip  # noqa: PLC0415 - here alone

    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as parts:
        licence = (places.CHECKOUT / "LICENSE").read_bytes()
        for name, data, mode in ((NAME, file, 0o755), ("LICENSE", licence, 0o644)):
            about = tarfile.TarInfo(name)
            about.size, about.mode, about.mtime = len(data), mode, int(places.EPOCH)
            parts.addfile(about, io.BytesIO(data))
        link = tarfile.TarInfo(COMPLETES)
        link.type, link.linkname, link.mtime = tarfile.SYMTYPE, NAME, int(places.EPOCH)
        parts.addfile(link)
    return gzip.compress(made.getvalue(), mtime=0)


def _tag(python: str) -> str:
    return f"cp{python.replace('.', '')}"


def _version() -> str:
    from mesh7_core import names  # noqa: PLC0415 - here alone

    return names.RELEASE
