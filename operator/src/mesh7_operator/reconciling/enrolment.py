"""Which namespaces are served: those that their label enrols, never the release's own.

Pure: no clock, no network, no logging.
"""

from collections.abc import Mapping

from mesh7_core import names


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
