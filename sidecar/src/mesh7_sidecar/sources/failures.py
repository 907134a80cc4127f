"""What is said of a source that answered, but not with an answer. Pure: no clock, no network."""

from mesh7_core.policy import bundle


def of_status(status: int, source: bundle.Source) -> str:
    """The verb phrase for an HTTP status that answers no request; put the source's name first."""
    if status not in (401, 403):
        return f"answered HTTP {status}"
    if source.credential is None:
        return f"wants a credential (HTTP {status}) – set `auth` on its ToolSource"
    key = source.credential.key
    return f"refused the credential `{key}` (HTTP {status}) – renew it where mesh7 reads it"
