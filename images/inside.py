"""What a Dockerfile runs inside a build stage: wheels in, a folder out that is the same every time.

Standard library only: it runs with the image's own Python, before anything is installed.
"""

import argparse
import compileall
import importlib.util
import os
import py_compile
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

_VENV = Path("/opt/mesh7")
# Of no use to a program that is never activated, compiled or debugged.
_NEEDLESS = (
    "*.c",
    "*.pyx",
    "*.pxd",
    "*.pxi",
    "*.h",
    "activate*",
    "Activate.ps1",
    "direct_url.json",
)


def dependencies(wheels: Path) -> None:
    """Make the venv and install other people's wheels into it."""
    _run(sys.executable, "-m", "venv", "--without-pip", str(_VENV))
    _install(wheels, wheels)
    _settle(_VENV, root=None)


def program(wheels: Path, pip: Path, root: Path, modules: Sequence[str]) -> None:
    """Install our own wheels below `root`, and what Python has not compiled of its own library.

    Args:
        wheels: ours.
        pip: the folder with pip's wheel.
        root: everything lands below it, at its place: `root/opt/mesh7/lib/…`.
        modules: what the image runs; the parts of the standard library that they import are
            compiled, since the root of a pod's container is read-only.
    """
    _install(wheels, pip, "--root", str(root), "--ignore-installed")
    _compile_standard(root, modules)
    _settle(root, root=root)


def _install(wheels: Path, pip: Path, *more: str) -> None:
    [installer] = pip.glob("pip-*.whl")
    _run(
        *(str(_VENV / "bin" / "python"), f"{installer}/pip", "install", "--quiet"),
        *("--no-index", "--find-links", str(wheels), "--require-hashes", "--no-deps"),
        *("--no-compile", "--no-cache-dir", "--root-user-action=ignore", *more),
        *("--requirement", str(wheels / "requirements.txt")),
    )


def _settle(folder: Path, *, root: Path | None) -> None:
    """Remove what nobody needs, compile, and give every file the same age.

    Args:
        folder: all of it.
        root: what the image will have as `/`; None = it lies at its place already.
    """
    for pattern in _NEEDLESS:
        for found in folder.rglob(pattern):
            found.unlink()
    for found in folder.rglob("*.so*"):
        found.write_bytes(without_symbols(found.read_bytes()))
    # By the content's hash, not the file's age: what a layer does to ages changes nothing then.
    compileall.compile_dir(
        folder,
        maxlevels=20,
        force=True,
        quiet=1,
        stripdir=root,
        prependdir="/" if root else None,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    for found in [folder, *folder.rglob("*")]:
        os.utime(found, (epoch, epoch), follow_symlinks=False)


def without_symbols(content: bytes) -> bytes:
    """A shared object without what only linkers and debuggers read: its section table and symbols.

    The loader reads the segments that the program headers name; what lies behind the last of them
    is cut off. Of uvloop's 14 MB nearly two remain. Anything but ELF of 64 bits stays as it is.
    """
    if content[:6] != b"\x7fELF\x02\x01":
        return content
    [first] = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    headers = range(first, first + size * count, size)
    end = max((_end_of_segment(content, header) for header in headers), default=len(content))
    cut = bytearray(content[: max(end, first + size * count)])
    struct.pack_into("<Q", cut, 40, 0)
    struct.pack_into("<HH", cut, 60, 0, 0)
    return bytes(cut)


def _end_of_segment(content: bytes, header: int) -> int:
    """Where it ends in the file; offset and size are the second and fifth of its words."""
    offset: int = struct.unpack_from("<Q", content, header + 8)[0]
    size: int = struct.unpack_from("<Q", content, header + 32)[0]
    return offset + size


def _compile_standard(root: Path, modules: Sequence[str]) -> None:
    for source in _standard_sources(root, modules):
        compiled = Path(importlib.util.cache_from_source(str(source)))
        if not compiled.exists():
            target = root / compiled.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(str(source), str(target), doraise=True, invalidation_mode=mode)


def _standard_sources(root: Path, modules: Sequence[str]) -> list[Path]:
    """What a fresh interpreter has read after these imports; ours would leave its marks here."""
    site = root / Path(sysconfig.get_path("purelib")).relative_to("/")
    asking = f"import sys; sys.path.insert(0, {str(site)!r}); import {', '.join(modules)}; "
    asking += (
        "print(*(getattr(m, '__file__', None) or '' for m in sys.modules.values()), sep='\\n')"
    )
    argv = [sys.executable, "-B", "-c", asking]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    home = Path(sysconfig.get_path("stdlib"))
    found = {Path(file) for file in said.splitlines() if file.endswith(".py")}
    return sorted(path for path in found if path.is_relative_to(home))


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def main(arguments: Sequence[str]) -> None:
    """`dependencies WHEELS`, or `program WHEELS PIP ROOT MODULE…`."""
    parser = argparse.ArgumentParser(description=__doc__)
    words = parser.add_subparsers(dest="word", required=True)
    words.add_parser("dependencies").add_argument("wheels", type=Path)
    ours = words.add_parser("program")
    for name in ("wheels", "pip", "root"):
        ours.add_argument(name, type=Path)
    ours.add_argument("modules", nargs="+")
    asked = parser.parse_args(arguments)
    if asked.word == "dependencies":
        dependencies(asked.wheels)
    else:
        program(asked.wheels, asked.pip, asked.root, asked.modules)


if __name__ == "__main__":
    main(sys.argv[1:])
