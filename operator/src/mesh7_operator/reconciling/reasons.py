"""Every word that a status says by machine: conditions, reasons, phases. Stable for ever.

`docs/reference/conditions.md` says of each what it means and what to do.
Pure: no clock, no network, no logging.
"""

from enum import StrEnum


class Truth(StrEnum):
    """Of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Type(StrEnum):
    """Which condition."""

    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    PROGRAMMED = "Programmed"
    READY = "Ready"
    DRIFTED = "Drifted"
    STORE_CONNECTED = "StoreConnected"


class Reason(StrEnum):
    """Why a condition is as it is; the same words are the reasons of Events."""

    # what is written
    VALID = "Valid"
    INVALID = "Invalid"
    NOT_SERVED_IN_CLUSTER = "NotServedInCluster"
    UNKNOWN_POLICY = "UnknownPolicy"
    BEYOND_GRANTABLE = "BeyondGrantable"
    PLAIN_CREDENTIAL = "PlainCredential"
    NOT_SERVED_HERE = "NotServedHere"
    NOT_STAMPED = "NotStamped"
    EXPIRED = "Expired"
    BEING_DELETED = "BeingDeleted"
    OVERLAY_TOO_LARGE = "OverlayTooLarge"
    # where it is obeyed
    SIDECARS_CURRENT = "SidecarsCurrent"
    SIDECARS_BEHIND = "SidecarsBehind"
    NO_SIDECAR = "NoSidecar"
    NAMESPACE_NOT_ENROLLED = "NamespaceNotEnrolled"
    PER_NAMESPACE = "PerNamespace"
    FENCED = "Fenced"
    BUNDLE_TOO_LARGE = "BundleTooLarge"
    # the store
    STORE_CONNECTED = "StoreConnected"
    STORE_LOST = "StoreLost"
    NO_STORE = "NoStore"
    # sources
    SOURCE_AVAILABLE = "SourceAvailable"
    SOURCE_UNAVAILABLE = "SourceUnavailable"
    NO_CREDENTIAL = "NoCredential"
    CREDENTIAL_AVAILABLE = "CredentialAvailable"
    CREDENTIAL_MISSING = "CredentialMissing"
    TOOLS_CHANGED = "ToolsChanged"
    TOOLS_ADDED = "ToolsAdded"
    TOOLS_REMOVED = "ToolsRemoved"
    NO_DRIFT = "NoDrift"
    NOT_PINNED = "NotPinned"
    # answers to held calls
    COUNTED = "Counted"
    NO_SUCH_REQUEST = "NoSuchRequest"
    DIGEST_MISMATCH = "DigestMismatch"
    NOT_FOR_THIS_POD = "NotForThisPod"
    POLICY_DOES_NOT_ASK = "PolicyDoesNotAsk"
    ARGUMENTS_UNSEEN = "ArgumentsUnseen"
    ANSWERED_BY_AGENT = "AnsweredByAgent"
    NOT_IN_GROUPS = "NotInGroups"
    ALREADY_SAID = "AlreadySaid"
    REQUEST_CLOSED = "RequestClosed"
    NO_POLICIES = "NoPolicies"
    PODS_UNKNOWN = "PodsUnknown"
    # held calls
    WAITS = "Waits"
    APPROVED = "Approved"
    DENIED = "Denied"
    USED = "Used"
    LAPSED = "Lapsed"
    WITHDRAWN = "Withdrawn"
    POD_GONE = "PodGone"
    RULES_CHANGED = "RulesChanged"
    FORGOTTEN = "Forgotten"
    # held calls, in Events of the pod only
    CALL_HELD = "CallHeld"
    CALL_APPROVED = "CallApproved"
    CALL_DENIED = "CallDenied"
    CALL_EXPIRED = "CallExpired"
    CALL_LAPSED = "CallLapsed"
    CALL_WITHDRAWN = "CallWithdrawn"
    # grants, in Events only
    ACTIVE = "Active"
    EXHAUSTED = "Exhausted"


class Phase(StrEnum):
    """How it stands with a grant."""

    PENDING = "Pending"
    ACTIVE = "Active"
    EXPIRED = "Expired"
    REFUSED = "Refused"
    EXHAUSTED = "Exhausted"
