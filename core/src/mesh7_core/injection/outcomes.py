"""What becomes of a pod: guarded, left alone or refused, each with its reason.

The reasons are the words of the answer, the metric, the event and `kubectl mesh7 check`;
docs/reference/injection.md has a section for each.
Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much stands between an agent and its tools, weakest first (design 9).

    Attributes:
        COOPERATIVE: URLs point at the sidecar; who does not use them passes it by.
        GUARDED: tools' credentials exist in the sidecar alone, a NetworkPolicy is there.
        ENFORCED: rules in the pod's network let nobody out but the sidecar.
    """

    COOPERATIVE = "Cooperative"
    GUARDED = "Guarded"
    ENFORCED = "Enforced"


class Skip(StrEnum):
    """Why a pod is left alone."""

    NOT_ENROLLED = "not-enrolled"
    NOT_REQUESTED = "not-requested"
    OPTED_OUT = "opted-out"
    MIRROR_POD = "mirror-pod"


class Refusal(StrEnum):
    """Why a pod may not be; all that is known at once, one of them first."""

    INVALID_VALUE = "invalid-value"
    CONTRADICTION = "contradiction"
    OPT_OUT_NOT_ALLOWED = "opt-out-not-allowed"
    NOT_A_POD = "not-a-pod"
    TOO_LARGE = "too-large"
    WINDOWS = "windows"
    HOST_NETWORK = "host-network"
    HOST_PROCESSES = "host-processes"
    SHARED_PROCESSES = "shared-processes"
    NAME_TAKEN = "name-taken"
    USER_CONFLICT = "user-conflict"
    PORT_CONFLICT = "port-conflict"
    VARIABLE_CONFLICT = "variable-conflict"
    AUDIENCE_PROJECTED = "audience-projected"
    CREDENTIALS_MOUNTED = "credentials-mounted"
    SOURCES_COLLIDE = "sources-collide"
    PRIVILEGED = "privileged"
    CAPABILITY = "capability"
    WEAKENED = "weakened"
    HOST_PATH = "host-path"
    MUST_DROP_NET_RAW = "must-drop-net-raw"
    MUST_RUN_AS_OTHER_USER = "must-run-as-other-user"
    ESCALATION = "escalation"
    OTHER_MESH = "other-mesh"
    PLAIN_REDIS = "plain-redis"
    PLAIN_CREDENTIALS = "plain-credentials"
    NO_NETWORK_POLICY = "no-network-policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing for which a pod is refused.

    Attributes:
        path: of the field, such as `spec.containers[0].env[2]`; empty for the whole pod.
        message: what is wrong, and what to do.
    """

    reason: Refusal
    path: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """The guarded pod.

    Attributes:
        pod: whole, ready to be stored; equal to what came in where it was guarded already.
        level: the one achieved, written on the pod too.
        warnings: for whoever makes it.
    """

    pod: Mapping[str, object]
    level: Level
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Left alone."""

    reason: Skip
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """May not be stored; at least one problem."""

    problems: tuple[Problem, ...]

    @property
    def reason(self) -> Refusal:
        """The first one's, for metrics."""
        return self.problems[0].reason


Outcome = Injected | Skipped | Refused
