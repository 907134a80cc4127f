"""Parts of the test cluster that need no cluster: who may be killed, what is issued and packed."""

import dataclasses
import io
import json
import os
import sys
import tarfile
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from e2e.cluster import homes, images, keys, processes
from e2e.cluster.clusters import Impersonating
from e2e.cluster.rooms import Plan
from e2e.cluster.waiting import ClusterError, until

_PYTHON = str(Path(sys.executable))
_LASTING = [_PYTHON, "-c", "import signal; print('up', flush=True); signal.pause()"]
_STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
while True:
    signal.pause()
"""


def _is_up(process: processes.Process) -> bool:
    return "up" in processes.last_lines(process)


@pytest.mark.parametrize(
    "argv", [_LASTING, [_PYTHON, "-c", _STUBBORN]], ids=["obeys", "ignores SIGTERM"]
)
def test_a_component_is_recorded_until_it_is_ended(tmp_path: Path, argv: list[str]) -> None:
    process = processes.start(tmp_path, "one", argv)
    assert processes.recorded(tmp_path) == [process]
    until(lambda: _is_up(process), "it is up", timeout_s=30)
    processes.stop(tmp_path, process, patience_s=0.3)
    assert not processes.is_alive(process)
    assert processes.recorded(tmp_path) == []


def test_nobody_else_with_the_same_number_is_killed(tmp_path: Path) -> None:
    """Numbers are used again: the start time tells a later process apart."""
    process = processes.start(tmp_path, "one", _LASTING)
    earlier = dataclasses.replace(process, started="1")
    processes.kill(tmp_path, earlier)
    assert not processes.is_alive(earlier)
    assert processes.is_alive(process)
    processes.kill(tmp_path, process)


def test_a_dead_component_is_named_with_its_last_words(tmp_path: Path) -> None:
    process = processes.start(tmp_path, "one", [_PYTHON, "-c", "print('no such flag')"])
    until(lambda: not processes.is_alive(process), "it ends", timeout_s=30)
    with pytest.raises(ClusterError, match="one – died; its last lines:\n  no such flag"):
        processes.must_live(process)


def test_a_cluster_belongs_to_its_maker_and_a_name_is_given_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    ours = homes.make("ours", is_owned=True)
    lost = homes.make("lost", is_owned=True)
    homes.make("by-hand", is_owned=False)
    gone = {"pid": os.getpid(), "started": "1"}
    (lost / "owner.json").write_text(json.dumps(gone))
    assert homes.names() == ["by-hand", "lost", "ours"]
    assert homes.orphans() == [lost]
    with pytest.raises(ClusterError, match="cluster `ours` exists"):
        homes.make("ours", is_owned=True)
    homes.remove(ours)
    assert homes.names() == ["by-hand", "lost"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "-a", "A", "a" * 32])
def test_a_name_stays_within_the_folder_of_clusters(name: str) -> None:
    with pytest.raises(ClusterError, match="is no name for a cluster"):
        homes.home_of(name)


def test_a_client_certificate_says_who_and_in_which_groups() -> None:
    ca = keys.authority("ca")
    pair = keys.client(ca, "jane", ["farmers", "people"])
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.certificate))
    assert certificate.subject.rfc4514_string() == "CN=jane,O=people,O=farmers"


def test_the_administrator_of_another_cluster_acts_as_the_user() -> None:
    """The given kubeconfig stays as it is."""
    given = {"users": [{"name": "admin", "user": {"token": "t"}}]}
    written = yaml.safe_load(
        Impersonating(kubeconfig_of_admin=given).kubeconfig("jane", ["farmers"])
    )
    groups = ["farmers", "system:authenticated"]
    assert written["users"][0]["user"] == {"token": "t", "as": "jane", "as-groups": groups}
    assert given == {"users": [{"name": "admin", "user": {"token": "t"}}]}


@pytest.mark.parametrize("slot", range(8))
def test_a_node_keeps_within_its_network(slot: int) -> None:
    plan = Plan(slot=slot)
    whole = IPv4Network(plan.whole)
    pods, services = IPv4Network(plan.pods), IPv4Network(plan.services)
    link = IPv4Network(f"{plan.host}/30", strict=False)
    assert [net for net in (pods, services, link) if not net.subnet_of(whole)] == []
    assert not pods.overlaps(services)
    assert not link.overlaps(pods)
    assert not link.overlaps(services)
    assert IPv4Address(plan.node) in link
    assert IPv4Address(plan.dns) in services
    assert len(plan.link) <= 15


def test_an_archive_is_the_same_for_the_same_files(tmp_path: Path) -> None:
    for name in ("one.tar", "two.tar"):
        images.write_archive(tmp_path / name, "localhost/x:1", {"/bin/x": b"x"}, ["/bin/x"])
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as archive:
        [manifest] = json.load(_member(archive, "manifest.json"))
        layer = _member(archive, manifest["Layers"][0])
    assert manifest["RepoTags"] == ["localhost/x:1"]
    with tarfile.open(fileobj=layer) as files:
        assert files.getnames() == ["bin/x"]


def _member(archive: tarfile.TarFile, name: str) -> io.BytesIO:
    found = archive.extractfile(name)
    assert found is not None
    return io.BytesIO(found.read())
