"""One function: how a namespace's held calls stand goes in, what is to be done comes out.

Pure: no clock, no network, no logging.
"""

from mesh7_operator.approving.ground import Ground
from mesh7_operator.approving.steps import Steps


def plan(ground: Ground) -> Steps:
    """What is to be done; nothing when everything is as it should be."""
    raise NotImplementedError
