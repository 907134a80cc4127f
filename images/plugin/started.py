"""`__main__` of the one-file plugin: unpacks it once for this Python, then runs it from there.

Programs with binary parts cannot be imported out of a zip. What is unpacked lies in a folder of the
person's cache that is named by its content; a second start finds it there and reads no more than
this. Only what every Python 3 knows stands here, so that an old one is told what it lacks.
"""

import os
import sys

CONTENT = "@CONTENT@"
"""Written by the build: names the folder."""
TAGS = ["@TAGS@"]
"""Written by the build: `cp311` and so on."""
_COMPLETES = "kubectl_complete-mesh7"
_COMMON = "common"
_WRONG = 1
_KIND_AND_WRITERS = 0o170022
_FOLDER = 0o040000
"""One that neither its group nor others may write."""


def main() -> None:
    """Run the plugin, or say what is missing."""
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    if tag not in TAGS:
        known = ", ".join(f"{one[2]}.{one[3:]}" for one in TAGS)
        spoken = f"{sys.version_info[0]}.{sys.version_info[1]}"
        sys.stderr.write(
            f"error: this kubectl-mesh7 runs with Python {known}; `python3` is {spoken}\n"
        )
        sys.exit(_WRONG)
    archive = os.path.dirname(os.path.abspath(__file__))
    # In place of the archive: nobody shall look into it for each module.
    sys.path[0] = _unpacked(archive, tag)
    if os.path.basename(archive) == _COMPLETES:
        from mesh7_cli import plugin_completing as program  # noqa: PLC0415
    else:
        from mesh7_cli import plugin as program  # type: ignore[no-redef] # noqa: PLC0415
    program.main()


def _unpacked(archive: str, tag: str) -> str:
    """The folder to import from."""
    home = os.path.join(_cache(), CONTENT)
    folder = os.path.join(home, tag)
    if _is_ours(folder):
        return folder
    try:
        os.makedirs(home, 0o700, exist_ok=True)
        return _unpack(archive, tag, home, folder)
    except OSError as error:
        return _unpack_for_now(archive, tag, error)


def _unpack(archive: str, tag: str, home: str, folder: str) -> str:
    """Beside its place first: whoever starts meanwhile sees all of it or nothing."""
    import shutil  # noqa: PLC0415
    import tempfile  # noqa: PLC0415
    import zipfile  # noqa: PLC0415

    fresh = tempfile.mkdtemp(prefix=tag + "-", dir=home)
    try:
        with zipfile.ZipFile(archive) as outer:
            for name in (_COMMON, tag):
                with outer.open(name + ".zip") as inner, zipfile.ZipFile(inner) as parts:
                    parts.extractall(fresh)
        try:
            os.rename(fresh, folder)
        except OSError:
            # Somebody was faster, or what lies there is not ours to use.
            if not _is_ours(folder):
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _unpack_for_now(archive: str, tag: str, why: OSError) -> str:
    """Where nothing can be kept, or what is kept is somebody else's: for this run alone."""
    import atexit  # noqa: PLC0415
    import shutil  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    sys.stderr.write(f"mesh7: nothing can be kept in {_cache()} ({why.strerror})\n")
    home = tempfile.mkdtemp(prefix="kubectl-mesh7-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return _unpack(archive, tag, home, os.path.join(home, tag))


def _is_ours(folder: str) -> bool:
    """Whether it is there, and nobody else can have written into it."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    is_private = found.st_mode & _KIND_AND_WRITERS == _FOLDER
    return is_private and found.st_uid == os.geteuid()


def _cache() -> str:
    named = os.environ.get("XDG_CACHE_HOME")
    if sys.platform == "darwin" and not named:
        named = os.path.expanduser("~/Library/Caches")
    return os.path.join(named or os.path.expanduser("~/.cache"), "mesh7", "plugin")


if __name__ == "__main__":
    main()
