"""One digest of a written set, whatever its files are called and in whatever order they come.

Pure: no clock, no network, no logging.
"""

import hashlib
import json
from collections.abc import Iterable

from mesh7_core.api.manifests import Document


def digest(namespace: str, documents: Iterable[Document]) -> str:
    """`sha256:` and 64 hex digits over what is written.

    Credentials are outside it (a digest of a short secret tells it), and so is what `${NAME}`
    stands for; status and all metadata but the name mean nothing.
    """
    written = sorted(
        json.dumps(
            [document.is_baseline, document.kind, document.name, document.value.get("spec")],
            sort_keys=True,
            separators=(",", ":"),
        )
        for document in documents
        if document.kind != "Secret"
    )
    canonical = json.dumps([namespace, written], separators=(",", ":"))
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"
