"""Why a call was allowed, refused or held: one closed set of codes, stable for ever.

Pure: no clock, no network, no logging. Every member has a paragraph in
docs/reference/reasons.md and is a value of the `reason` metric label.
"""

from enum import StrEnum


class Reason(StrEnum):
    """A stable, low-cardinality code; the text people read comes from `decision.Decision`."""

    # Allow
    ALLOWED_BY_RULE = "allowed-by-rule"
    ALLOWED_BY_DEFAULT = "allowed-by-default"
    AUDIT_ONLY = "audit-only"
    APPROVED = "approved"
    GRANTED = "granted"
    REPLAYED = "replayed"
    # Deny, by what people wrote
    DENIED_BY_RULE = "denied-by-rule"
    DENIED_BY_DEFAULT = "denied-by-default"
    CONDITION_FAILED = "condition-failed"
    NO_POLICY = "no-policy"
    # Deny, by what the gateway knows
    NO_BUNDLE = "no-bundle"
    UNKNOWN_TOOL = "unknown-tool"
    UNKNOWN_SOURCE = "unknown-source"
    UNKNOWN_METHOD = "unknown-method"
    SOURCE_UNAVAILABLE = "source-unavailable"
    DEFINITION_CHANGED = "definition-changed"
    NOT_LISTED_BY_POLICY = "not-listed-by-policy"
    SERVER_REQUEST_REFUSED = "server-request-refused"
    # Deny, by the shape of the input
    MALFORMED = "malformed"
    HEADER_MISMATCH = "header-mismatch"
    TOO_LARGE = "too-large"
    TOO_MANY = "too-many"
    FORBIDDEN_ORIGIN = "forbidden-origin"
    FORBIDDEN_HOST = "forbidden-host"
    UNAUTHENTICATED = "unauthenticated"
    UNKNOWN_SESSION = "unknown-session"
    VETOED = "vetoed"
    # Hold and what becomes of it
    APPROVAL_REQUIRED = "approval-required"
    RUNNING = "running"
    APPROVAL_UNAVAILABLE = "approval-unavailable"
    APPROVAL_EXPIRED = "approval-expired"
    DENIED_BY_PERSON = "denied-by-person"
    TOO_MANY_PENDING = "too-many-pending"
    OUTCOME_UNKNOWN = "outcome-unknown"
    # Limits and loops
    LIMIT_EXCEEDED = "limit-exceeded"
    LIMIT_UNAVAILABLE = "limit-unavailable"
    LOOP_DETECTED = "loop-detected"
