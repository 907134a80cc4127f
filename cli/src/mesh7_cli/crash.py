"""Where the details of an unexpected error go, so that the user sees one line."""

import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path


def report(error: Exception, arguments: Sequence[str]) -> str:
    """Write `error` with its traceback to a private file of its own and return the one line.

    The file names the command but no argument of it: arguments may carry what nobody else
    should read. Where no file can be written the line says so.
    """
    verb = arguments[0] if arguments else ""
    details = "".join(traceback.format_exception(error))
    try:
        path = _write(f"mesh7 {verb}\npython {sys.version}\n\n{details}")
    except OSError as failure:
        return f"mesh7: an error in mesh7 itself, and its details could not be written: {failure}"
    return f"mesh7: an error in mesh7 itself – its details are in `{path}`, please report them"


def _write(text: str) -> Path:
    # mkstemp makes the file readable by its owner only.
    with tempfile.NamedTemporaryFile(
        mode="w", encoding="utf-8", prefix="mesh7-error-", suffix=".txt", delete=False
    ) as file:
        file.write(text)
        return Path(file.name)
