"""Connections: kubeconfigs of development, the pod's account, and what is said of broken ones."""

from pathlib import Path

import pytest

from mesh7_core import errors
from mesh7_operator import settings
from mesh7_operator.cluster import connection

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
contexts:
- {name: there, context: {cluster: other, user: other}}
- {name: here, context: {cluster: ours, user: me}}
clusters:
- {name: ours, cluster: {server: "http://127.0.0.1:8001/"}}
users:
- {name: me, user: {token: hidden}}
"""


def _written(folder: Path, text: str) -> Path:
    path = folder / "config"
    path.write_text(text)
    return path


def test_the_current_context_says_where_and_as_whom(tmp_path: Path) -> None:
    found = connection.from_kubeconfig(_written(tmp_path, KUBECONFIG))
    assert (found.url, found.token, found.tls) == ("http://127.0.0.1:8001", "hidden", None)
    assert "hidden" not in repr(found)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("current-context: here", "current-context: nowhere", "`contexts` has no `nowhere`"),
        ("name: me, user", "name: you, user", "`users` has no `me`"),
        ('server: "http://127.0.0.1:8001/"', "", "names no server"),
        ("apiVersion: v1", "{", "cannot be used"),
    ],
)
def test_a_broken_kubeconfig_is_said_with_its_place(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    path = _written(tmp_path, KUBECONFIG.replace(before, after))
    with pytest.raises(errors.SettingsError) as caught:
        connection.from_kubeconfig(path)
    assert str(path) in caught.value.message
    assert said in caught.value.message


def test_outside_of_a_cluster_a_kubeconfig_has_to_be_named() -> None:
    with pytest.raises(errors.SettingsError, match="this is no pod; name a --kubeconfig"):
        connection.connect(settings.Cluster())
