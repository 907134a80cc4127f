"""At which level a namespace is: as its label says.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping

from mesh7_core import names
from mesh7_core.injection.outcomes import Level


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
