"""The manifest that krew installs the plugin from, of the archives that exist.

An archive is made on its own platform, for its binary parts are; what is not there is not offered.
"""

import hashlib
import re
from pathlib import Path
from typing import Final

from images.places import BuildError
from images.plugin import archive
from mesh7_core import names

TEMPLATE: Final = Path(__file__).parent / "krew.yaml"
_ARCHIVE: Final = re.compile(
    rf"{archive.NAME}-(?P<version>[^-]+)-(?P<system>linux|darwin)-(?P<machine>amd64|arm64)\.tar\.gz"
)


def manifest(archives: Path, address: str, homepage: str) -> str:
    """The manifest's text.

    Args:
        archives: the folder that they lie in.
        address: where people will fetch them from, without the file's name.
        homepage: of the project.

    Raises:
        BuildError: there is no archive of this release.
    """
    found = [
        (match, path)
        for path in sorted(archives.glob("*.tar.gz"))
        if (match := _ARCHIVE.fullmatch(path.name)) and match["version"] == names.RELEASE
    ]
    if not found:
        raise BuildError(f"no archive of {names.RELEASE} in {archives.name}/; run `make plugin`")
    text = TEMPLATE.read_text().replace("@VERSION@", names.RELEASE)
    head = text.replace("@HOMEPAGE@", homepage)
    return head + "".join(_platform(match, path, address) for match, path in found)


def _platform(match: re.Match[str], path: Path, address: str) -> str:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"""\
  - selector:
      matchLabels:
        os: {match["system"]}
        arch: {match["machine"]}
    uri: {address.rstrip("/")}/{path.name}
    sha256: {digest}
    files:
    - from: {archive.NAME}
      to: .
    - from: LICENSE
      to: .
    bin: {archive.NAME}
"""
