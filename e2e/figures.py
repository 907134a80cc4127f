"""What `python -m e2e.numbers` prints, and how it asks the API server without kubectl."""

import base64
import ssl
import tempfile
from dataclasses import dataclass

import yaml

from e2e.cluster.clusters import Cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table.

    Attributes:
        most: the bound; None = only told.
    """

    what: str
    value: float
    unit: str
    most: float | None = None

    @property
    def is_kept(self) -> bool:
        """Whether it is within its bound."""
        return self.most is None or self.value <= self.most

    def __str__(self) -> str:
        bound = (
            "" if self.most is None else f"(bar {self.most:g}) {'' if self.is_kept else 'MISSED'}"
        )
        return f"{self.what:<66} {self.value:>9.1f} {self.unit:<4} {bound}"


def trust(cluster: Cluster) -> ssl.SSLContext:
    """TLS to the API server, as the administrator."""
    user = yaml.safe_load(cluster.admin.read_text())["users"][0]["user"]
    context = ssl.create_default_context(cafile=str(cluster.ca))
    with tempfile.NamedTemporaryFile() as file:
        for part in ("client-certificate-data", "client-key-data"):
            file.write(base64.b64decode(user[part]))
        file.flush()
        context.load_cert_chain(file.name)
    return context
