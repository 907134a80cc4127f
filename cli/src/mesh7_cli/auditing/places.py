"""Whether a folder is the state folder of a gateway that keeps records: one check, one wording.

STATE/lock                 whoever ever started a gateway there left it
STATE/audit.jsonl          there from the start on when records are kept
"""

from pathlib import Path
from typing import Final

from mesh7_cli.auditing import segments
from mesh7_core import errors

_LOCK: Final = "lock"
_NAME_IT: Final = "name the gateway's with --dir or --state"
_HEADS: Final = ("audit.heads.jsonl", "audit.key")


def known(state: Path) -> Path:
    """The folder, when its audit can be asked.

    Raises:
        SettingsError: it is not there or cannot be read, is no gateway's, or has no audit.
    """
    names = there(state)
    if not _has_audit(names):
        if _LOCK not in names:
            message = f"`{state}` is no state folder, no gateway was started with it – {_NAME_IT}"
            raise errors.SettingsError(message)
        message = (
            f"`{state}` has no audit: its records are off (`--audit off`), or somebody took all of"
            f" them away – start its gateway without `--audit off`, or {_NAME_IT}"
        )
        raise errors.SettingsError(message)
    return state


def there(state: Path) -> list[str]:
    """What lies in the folder.

    Raises:
        SettingsError: it is not there or cannot be read.
    """
    names = _names(state)
    if names is None:
        raise errors.SettingsError(f"there is no state folder `{state}` – {_NAME_IT}")
    return names


def awaited(state: Path) -> str:
    """What whoever waits for records there should know; empty when there is an audit.

    Raises:
        SettingsError: it cannot be read.
    """
    names = _names(state)
    if names is None:
        return f"there is no state folder `{state}` yet, waiting"
    return "" if _has_audit(names) else f"`{state}` has no audit yet, waiting"


def _has_audit(names: list[str]) -> bool:
    return any(name.startswith(segments.NAME) or name in _HEADS for name in names)


def _names(state: Path) -> list[str] | None:
    """What lies in it; None when there is no such folder."""
    try:
        return [path.name for path in state.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        message = f"`{state}` cannot be read: {error.strerror}"
        raise errors.SettingsError(message) from error
