"""Which namespaces are served, and at which level: as their labels say, never the release's own.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping

from mesh7_core import names
from mesh7_core.injection.outcomes import Level


def is_enrolled(namespace: str, labels: Mapping[str, str], release_namespace: str) -> bool:
    """Whether sidecars of the namespace get bundles.

    Args:
        labels: of the Namespace.
        release_namespace: holds the baseline; its label means nothing.
    """
    return (
        namespace != release_namespace
        and labels.get(names.INJECTION_LABEL) in names.INJECTION_VALUES
    )


def level(labels: Mapping[str, str], default: Level) -> Level:
    """The level that is asked for; the strictest where nobody can tell which.

    Args:
        labels: of the Namespace.
        default: the release's, where it has no such label.
    """
    written = labels.get(names.ENFORCEMENT)
    if written is None:
        return default
    return Level(written) if written in set(Level) else Level.ENFORCED
