"""The one tree of exceptions.

    Mesh7Error
    ├── ManifestError    what people wrote cannot mean anything: a glob, a size, a document
    ├── BundleError      a compiled set cannot be read or trusted
    ├── UpstreamError    a source did not do what was asked of it
    ├── ClusterError     the API server did not do what was asked of it
    └── SettingsError    the program was started in a way that cannot work

A refused call and a lost store are values (`policy.decision`, facts), never exceptions.
Messages say what, where and what to do: small first letter, no full stop, the user's own text in
backticks; never arguments, tokens or bodies.
"""


class Mesh7Error(Exception):
    """The root: whoever catches it catches everything that mesh7 raises on purpose.

    Attributes:
        message: one line for people.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ManifestError(Mesh7Error):
    """Something that people wrote is wrong; the message quotes it and says what would be right."""


class BundleError(Mesh7Error):
    """A compiled set cannot be used: it is damaged, too large or from somebody else."""


class UpstreamError(Mesh7Error):
    """A source failed; the message names the source and never its address."""


class ClusterError(Mesh7Error):
    """The API server refused, failed or was not reached; the message names verb, kind and name."""


class SettingsError(Mesh7Error):
    """A flag or an environment variable cannot be used; the message names it."""
