"""What each exit code means; docs/reference/exit-codes.md says the same and a test holds it."""

from enum import IntEnum

from mesh7_core import errors


class Exit(IntEnum):
    """The exit codes of every command; stable for ever."""

    OK = 0
    WRONG = 1
    USAGE = 2
    SETTINGS = 3
    NO_GATEWAY = 4
    TOOL_ERROR = 5
    DENIED = 6
    HELD = 7
    THROTTLED = 8
    REFUSED = 9
    UNKNOWN = 10
    NO_LEDGER = 11
    UNSOUND = 12
    INTERNAL = 70
    INTERRUPTED = 130
    CLOSED_PIPE = 141


MEANINGS = {
    Exit.OK: "done",
    Exit.WRONG: "a manifest or a case is wrong",
    Exit.USAGE: "the command line cannot be understood",
    Exit.SETTINGS: "a flag, a folder, a port or an environment variable cannot be used",
    Exit.NO_GATEWAY: "no gateway answers at the socket",
    Exit.TOOL_ERROR: "`mesh7 call`: the tool or its source failed",
    Exit.DENIED: "`mesh7 call`: denied, or there is no such tool for this agent",
    Exit.HELD: "`mesh7 call`: held until a person approves",
    Exit.THROTTLED: "`mesh7 call`: a limit is used up or a loop was found",
    Exit.REFUSED: "the gateway refused: you may not decide this, or it is too late",
    Exit.UNKNOWN: "no request, grant or record has this id or name",
    Exit.NO_LEDGER: "the gateway cannot reach its ledger, so nothing was changed",
    Exit.UNSOUND: "`mesh7 audit verify`: the records are not as they were written",
    Exit.INTERNAL: "an error in mesh7 itself; the message says where the details are",
    Exit.INTERRUPTED: "interrupted by Ctrl-C",
    Exit.CLOSED_PIPE: "whoever read the output stopped reading",
}


class GatewayError(errors.Mesh7Error):
    """No gateway answers, or what answers is not one."""


class RefusedError(errors.Mesh7Error):
    """The gateway says that this person may not do this, or not any more."""


class UnknownError(errors.Mesh7Error):
    """There is no request, grant or record by this id or name."""


class LedgerError(errors.Mesh7Error):
    """The gateway cannot reach its ledger now; nothing was changed."""


def code_for(error: errors.Mesh7Error) -> Exit:
    """The exit code that an expected error ends the program with."""
    match error:
        case GatewayError():
            return Exit.NO_GATEWAY
        case RefusedError():
            return Exit.REFUSED
        case UnknownError():
            return Exit.UNKNOWN
        case LedgerError():
            return Exit.NO_LEDGER
        case errors.SettingsError():
            return Exit.SETTINGS
        case errors.UpstreamError():
            return Exit.TOOL_ERROR
        case _:
            return Exit.WRONG
