"""Agents as people name them: by service account, or as requests show them, `<namespace>/<name>`.

Pure: no clock, no network, no logging.
"""

import re
from collections.abc import Callable
from typing import Final

from mesh7_sidecar.people.wishes import Wrong

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[-._:@A-Za-z0-9]{0,251}[A-Za-z0-9])?")


def service_account(text: str, namespace: str, may_know: Callable[[str], bool]) -> str | Wrong:
    """Whom people mean.

    Args:
        text: as it was given.
        namespace: of the agents here; another one's cannot be stopped, or permitted anything.
        may_know: whether an agent of this name may have called; then it is one, however spelled.
    """
    there, slash, name = text.rpartition("/")
    if slash and there != namespace:
        return Wrong(
            f"`{text}` is an agent of another namespace – this gateway's agents are of "
            f"`{namespace}`, write `{namespace}/<name>` or `<name>`"
        )
    if _NAME.fullmatch(name) is None and not may_know(name):
        return Wrong(
            f"`{name}` cannot be the name of an agent – write one as `mesh7 requests` shows it"
        )
    return name
