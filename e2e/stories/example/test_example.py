import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from e2e.stories.ground import Story
from e2e.stories.releases import Release

_ROOT = Path(__file__).parents[3]
_IMAGE = "{name: mesh7-sidecar, newName: mesh7-sidecar, newTag: 0.1.0}"


@pytest.fixture
def example(release: Release, product_images: Mapping[str, str], tmp_path: Path) -> Iterator[Story]:
    """It is applied as the page says, with the image that is on the node."""
    folder = tmp_path / "kubernetes"
    shutil.copytree(_ROOT / "examples/kubernetes", folder)
    name, _, tag = product_images["sidecar"].rpartition(":")
    written = (folder / "kustomization.yaml").read_text()
    assert _IMAGE in written
    ours = f"{{name: mesh7-sidecar, newName: {name}, newTag: {tag}}}"
    (folder / "kustomization.yaml").write_text(written.replace(_IMAGE, ours))
    release.cluster.kubectl("apply", "-k", str(folder))
    story = Story(cluster=release.cluster, namespace="mesh7-example", folder=folder)
    yield story
    story.kubectl("delete", "namespace", story.namespace, "--wait=false")


@pytest.mark.promise("K5")
def test_the_readme_s_lines_are_what_the_agent_says(example: Story) -> None:
    """README.md, On Kubernetes: the log of the agent; `…` stands for the rest of a line."""
    readme = (_ROOT / "README.md").read_text()
    [shown] = re.findall(r"^```console kubernetes\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    expected = re.compile(f"^{re.escape(shown).replace('…', '.*')}", re.MULTILINE)
    log = ("logs", "agent", "--container", "agent", "--namespace", example.namespace)
    assert f"kubectl {' '.join(log)} --follow" in readme
    example.ready("pod/agent")
    example.until(
        lambda: expected.search(example.kubectl(*log)) is not None, f"the agent says\n{shown}"
    )
    assert "orders/deleting` (denied-by-rule): orders are cancelled by people" in shown
