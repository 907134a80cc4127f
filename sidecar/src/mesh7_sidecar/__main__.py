"""`python -m mesh7_sidecar`: the gateway of one pod."""

import os
import sys

from mesh7_core import errors
from mesh7_sidecar import main

if __name__ == "__main__":
    try:
        sys.exit(main.pod(os.environ))
    except errors.Mesh7Error as error:
        sys.exit(f"mesh7-sidecar: {error.message}")
