import pytest

from e2e.stories.ground import Story, calls

_ADDRESS = "import os; print(os.environ['KUBERNETES_SERVICE_HOST'])"
_FILES = "import os; print(os.listdir('/var/run/secrets/kubernetes.io/serviceaccount'))"


@pytest.mark.promise("K5")
def test_a_tenants_service_named_kubernetes_is_not_the_sidecars_api_server(story: Story) -> None:
    """docs/reference/pod-environment.md: else the ban on dialling the API server would move."""
    story.apply("service")
    story.apply("agent", NAME="agent", CALLS=calls())
    story.ready("pod/agent")
    tenants = _service(story, story.namespace)
    real = _service(story, "default")
    assert tenants != real
    assert _told(story, "agent", "python3") == tenants
    assert _told(story, "mesh7", "python") == real
    files = story.run("agent", "python", "-c", _FILES, container="mesh7")
    assert "labels" in files
    assert "token" not in files


def _service(story: Story, namespace: str) -> str:
    found = story.kubectl.json("get", "service", "kubernetes", "-n", namespace)
    return str(found["spec"]["clusterIP"])


def _told(story: Story, container: str, python: str) -> str:
    return story.run("agent", python, "-c", _ADDRESS, container=container).strip()
