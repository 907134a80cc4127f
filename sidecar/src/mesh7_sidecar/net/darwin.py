"""What macOS says of a process: `struct kinfo_proc` by sysctl, which answers for every user.

Offsets are those of the 64-bit structure, the same on Intel and Apple silicon since 10.5.
"""

import ctypes
import os
import struct
from typing import Final, TypedDict

_KINFO_BYTES: Final = 648
_MIB: Final = (1, 14, 1)  # CTL_KERN, KERN_PROC, KERN_PROC_PID
_STARTED: Final = struct.Struct("=qi")  # p_starttime, at 0
_PID: Final = (40, struct.Struct("=i"))  # p_pid
_UID: Final = (420, struct.Struct("=I"))  # e_ucred.cr_uid
_PARENT_GROUP: Final = (560, struct.Struct("=ii"))  # e_ppid, e_pgid
_TERMINAL: Final = (572, struct.Struct("=i"))  # e_tdev
_NO_DEVICE: Final = -1
_PATH_BYTES: Final = 4096


class Seen(TypedDict):
    """The fields of `processes.Process`."""

    pid: int
    parent: int
    group: int
    session: int
    terminal: int
    started: int
    uid: int
    program: str


def look(pid: int) -> Seen | None:
    """What is known of a process now; None when there is none."""
    block = ctypes.create_string_buffer(_KINFO_BYTES)
    size = ctypes.c_size_t(_KINFO_BYTES)
    mib = (ctypes.c_int * 4)(*_MIB, pid)
    library = ctypes.CDLL(None)
    if library.sysctl(mib, 4, block, ctypes.byref(size), None, 0) or size.value != _KINFO_BYTES:
        return None
    raw = block.raw
    if _PID[1].unpack_from(raw, _PID[0])[0] != pid:
        return None
    seconds, microseconds = _STARTED.unpack_from(raw, 0)
    parent, group = _PARENT_GROUP[1].unpack_from(raw, _PARENT_GROUP[0])
    device = _TERMINAL[1].unpack_from(raw, _TERMINAL[0])[0]
    return Seen(
        pid=pid,
        parent=parent,
        group=group,
        session=_session(pid),
        terminal=0 if device == _NO_DEVICE else device,
        started=seconds * 1_000_000 + microseconds,
        uid=_UID[1].unpack_from(raw, _UID[0])[0],
        program=_path(pid),
    )


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _path(pid: int) -> str:
    text = ctypes.create_string_buffer(_PATH_BYTES)
    library = ctypes.CDLL("/usr/lib/libproc.dylib")
    length = library.proc_pidpath(pid, text, _PATH_BYTES)
    return text.raw[:length].decode(errors="backslashreplace") if length > 0 else ""
