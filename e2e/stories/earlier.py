"""The release of an earlier commit: its charts, and its code in images that are otherwise today's.

What is kept of it is in `lifetime/earlier/`.
"""

import hashlib
import io
import json
import lzma
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from e2e.cluster.images import Image
from e2e.cluster.waiting import ClusterError

CHARTS: Final = Path(__file__).with_name("lifetime") / "earlier"
_PACKAGES: Final = ("mesh7_core", "mesh7_operator", "mesh7_sidecar")


def image(today: Image, archive: Path) -> Image:
    """One of the product's images with the earlier code in it.

    Args:
        today: of this checkout.
        archive: written anew.
    """
    name = f"{today.name.rpartition(':')[0]}:earlier"
    with tarfile.open(today.archive) as read, tarfile.open(archive, "w") as written:
        [manifest] = json.load(_file(read, "manifest.json"))
        layers = {one: _file(read, one) for one in manifest["Layers"]}
        old, layer = _rewritten(layers)
        config = json.load(_file(read, manifest["Config"]))
        place = manifest["Layers"].index(old)
        config["rootfs"]["diff_ids"][place] = f"sha256:{hashlib.sha256(layer).hexdigest()}"
        for one, content in layers.items():
            if one != old:
                content.seek(0)
                _add(written, one, content)
        names = [f"earlier-{one}" if one == old else one for one in layers]
        _add(written, f"earlier-{old}", io.BytesIO(layer))
        _add(written, "config.json", _json(config))
        described = {"Config": "config.json", "RepoTags": [name], "Layers": names}
        _add(written, "manifest.json", _json([described]))
    return Image(name=name, archive=archive)


def _rewritten(layers: dict[str, IO[bytes]]) -> tuple[str, bytes]:
    """The layer that holds our packages: its name, and how it is with the earlier ones instead."""
    for name, content in layers.items():
        with tarfile.open(fileobj=content) as layer:
            ours = [one for one in layer.getnames() if one.endswith("/mesh7_core/__init__.py")]
            if ours:
                return name, _with_earlier(layer, PurePosixPath(ours[0]).parents[1])
    raise ClusterError("no layer holds mesh7_core: has the image another shape than before?")


def _with_earlier(layer: tarfile.TarFile, packages: PurePosixPath) -> bytes:
    found = io.BytesIO()
    present = [one for one in _PACKAGES if f"{packages}/{one}" in layer.getnames()]
    with tarfile.open(fileobj=found, mode="w") as written:
        for entry in layer:
            if not any(entry.name.startswith(f"{packages}/{one}/") for one in present):
                written.addfile(entry, layer.extractfile(entry) if entry.isreg() else None)
        with (
            lzma.open(CHARTS / "sources.tar.xz") as packed,
            tarfile.open(fileobj=packed) as sources,
        ):
            for entry in sources:
                _, _, inside = entry.name.partition("/src/")
                if entry.isreg() and inside.partition("/")[0] in present:
                    entry.name, entry.mode = f"{packages}/{inside}", 0o644
                    written.addfile(entry, sources.extractfile(entry))
    return found.getvalue()


def _file(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    found = archive.extractfile(name)
    if found is None:
        raise ClusterError(f"{name}: no file in the archive of an image")
    return found


def _json(value: Any) -> IO[bytes]:
    return io.BytesIO(json.dumps(value).encode())


def _add(archive: tarfile.TarFile, name: str, content: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = content.seek(0, io.SEEK_END)
    content.seek(0)
    archive.addfile(entry, content)
