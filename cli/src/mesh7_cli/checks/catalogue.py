"""All checks in their order: what stands on what comes after it.

Pure: no clock, no network, no logging.
"""

from typing import Final

from mesh7_cli.checks import admission, guarding, installation, installing, kubernetes, rights
from mesh7_cli.checks.findings import Answer, fatal
from mesh7_core import errors

BEFORE: Final = (kubernetes.CATEGORY, installing.CATEGORY)
AFTER: Final = (
    kubernetes.CATEGORY,
    installation.CATEGORY,
    admission.CATEGORY,
    rights.CATEGORY,
    guarding.CATEGORY,
)


def unanswered(error: errors.ClusterError) -> list[Answer]:
    """Where nobody answers: nothing else can be said."""
    return [
        Answer(
            category=kubernetes.CATEGORY.name,
            check=kubernetes.ANSWERING,
            finding=fatal(error.message),
        )
    ]
