"""Images without an image builder: files in, an archive out that any container runtime imports."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_archive(
    path: Path, name: str, files: Mapping[str, bytes], entrypoint: Sequence[str]
) -> None:
    """Write a docker-archive with one layer, the same bytes for the same files.

    Args:
        path: where to.
        name: with host and tag, as pods write it: `localhost/pause:3`.
        files: absolute path → content; all executable.
        entrypoint: what runs.
    """
    layer = _tar({file.lstrip("/"): content for file, content in files.items()})
    config = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha256(layer)}"]},
    }
    config_text = json.dumps(config).encode()
    manifest = [
        {"Config": f"{_sha256(config_text)}.json", "RepoTags": [name], "Layers": ["layer.tar"]}
    ]
    parts = {
        manifest[0]["Config"]: config_text,
        "layer.tar": layer,
        "manifest.json": json.dumps(manifest).encode(),
    }
    path.write_bytes(_tar({str(part): content for part, content in parts.items()}))


def _tar(files: Mapping[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755
            tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
