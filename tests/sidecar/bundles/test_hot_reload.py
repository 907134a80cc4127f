"""Hot reload of a real gateway: whatever way a folder changes, it is soon in force."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from tests.sidecar.doors import parts as doors
from tests.sidecar.lifecycle import parts
from tests.sidecar.lifecycle.parts import ALLOW_ALL, Guarded, Status, guarded, policy, scripted

REFUSED = (403, 404)
"""By a condition, or like a tool that does not exist."""
DENY_ECHO = policy("no-echo", 'name: echo, tools: ["*.echo"], action: Deny')
BROKEN = ALLOW_ALL.replace("action: Allow", "action: Alow")


def digest(found: Status) -> str:
    """Of the bundle in force."""
    return str(found["bundle"]["digest"])


async def changed(served: Guarded, before: Status) -> None:
    """Wait until another bundle is in force."""
    await served.until(lambda found: digest(found) != digest(before))


def rename_over(path: Path, text: str) -> None:
    """As most editors and every careful program save."""
    fresh = path.with_name(f".{path.name}.fresh")
    fresh.write_text(text, encoding="utf-8")
    fresh.rename(path)


def write_in_place(path: Path, text: str) -> None:
    """As `echo >` and some editors save."""
    path.write_text(text, encoding="utf-8")


def copy_with_times(path: Path, text: str) -> None:
    """As `cp -p` saves: size and modification time stay what they were."""
    times = path.stat()
    write_in_place(path, text)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.promise("C2")
@pytest.mark.parametrize("save", [rename_over, write_in_place, copy_with_times])
async def test_an_edit_is_in_force_however_it_is_saved(
    tmp_path: Path, save: Callable[[Path, str], None]
) -> None:
    """Design 12: by rename or in place."""
    async with (
        scripted("echo") as source,
        guarded(tmp_path, doors.source("s", source.url), ALLOW_ALL) as served,
    ):
        before = await served.until(parts.is_ready("s"))
        assert (await served.call("s.echo")).status == 200

        edited = (tmp_path / "folder" / "all.yaml").read_text().replace("Allow}", "Deny }")
        save(tmp_path / "folder" / "all.yaml", edited)
        await changed(served, before)

        assert (await served.call("s.echo")).status in REFUSED


async def test_a_swapped_symlink_as_in_a_mounted_configmap_is_seen(tmp_path: Path) -> None:
    """D24: the kubelet swaps `..data`, and no watched name changes."""
    folder = tmp_path / "folder"
    for version, text in (("..v1", ALLOW_ALL), ("..v2", DENY_ECHO)):
        (folder / version).mkdir(parents=True)
        (folder / version / "policy.yaml").write_text(text, encoding="utf-8")
    (folder / "..data").symlink_to("..v1")
    (folder / "policy.yaml").symlink_to("..data/policy.yaml")
    async with guarded(tmp_path) as served:
        before = await served.status()
        assert before["bundle"]["policies"] == 1

        (folder / "..data_tmp").symlink_to("..v2")
        (folder / "..data_tmp").rename(folder / "..data")
        await changed(served, before)

        assert (await served.status())["problems"] == []


async def test_new_and_removed_files_count_and_dotfiles_do_not(tmp_path: Path) -> None:
    """Design 12: dotfiles ignored, so that an editor's swap file is no policy."""
    folder = tmp_path / "folder"
    async with (
        scripted("echo") as source,
        guarded(tmp_path, doors.source("s", source.url), ALLOW_ALL) as served,
    ):
        before = await served.until(parts.is_ready("s"))
        (folder / ".deny.yaml.swp").write_text(DENY_ECHO, encoding="utf-8")
        (folder / ".hidden.yaml").write_text(DENY_ECHO, encoding="utf-8")
        (folder / ".git").mkdir()
        (folder / ".git" / "deny.yaml").write_text(DENY_ECHO, encoding="utf-8")
        rename_over(folder / "deny.yaml", DENY_ECHO)
        await changed(served, before)
        with_deny = await served.status()
        assert with_deny["bundle"]["policies"] == 2
        assert (await served.call("s.echo")).status in REFUSED

        (folder / "deny.yaml").unlink()
        await changed(served, with_deny)

        assert digest(await served.status()) == digest(before)
        assert (await served.call("s.echo")).status == 200


@pytest.mark.promise("C4")
async def test_a_broken_edit_keeps_the_last_good_set_and_is_told_everywhere(tmp_path: Path) -> None:
    """Design 12; issue 1, "Hot reload"."""
    path = tmp_path / "folder" / "all.yaml"
    async with (
        scripted("echo") as source,
        guarded(tmp_path, doors.source("s", source.url), ALLOW_ALL) as served,
    ):
        before = await served.until(parts.is_ready("s"))
        good = path.read_text()
        write_in_place(path, good.replace("action: Allow", "action: Alow"))
        broken = await served.until(lambda found: found["problems"] != [])

        assert digest(broken) == digest(before)
        [problem] = broken["problems"]
        line = good[: good.index("action: Allow")].count("\n") + 1
        assert problem.startswith(f"{path}:{line}: error: ")
        assert "`Alow`" in problem
        assert "`Allow`" in problem
        assert problem in served.logged
        assert "the last good set stays in force" in served.logged
        assert (await served.call("s.echo")).status == 200
        async with aiohttp.request("GET", f"{served.gateway.admin}/readyz") as answer:
            assert answer.status == 200
            ready = await answer.json()
        assert ready == {"ready": True, "bundle": digest(before), "problems": [problem]}
        said = await parts.mesh7("status", "--state", served.gateway.state)
        assert said.code == 1
        assert problem in said.out

        write_in_place(path, good)
        mended = await served.until(lambda found: found["problems"] == [])

        assert digest(mended) == digest(before)
        assert "in order again" in served.logged
        said = await parts.mesh7("status", "--state", served.gateway.state)
        assert said.code == 0


async def test_a_deleted_folder_keeps_the_last_good_set_until_it_is_back(tmp_path: Path) -> None:
    """What cannot be read is told like what cannot be compiled."""
    folder = tmp_path / "folder"
    async with (
        scripted("echo") as source,
        guarded(tmp_path, doors.source("s", source.url), ALLOW_ALL) as served,
    ):
        await served.until(parts.is_ready("s"))
        folder.rename(tmp_path / "away")
        gone = await served.until(lambda found: found["problems"] != [])
        assert str(folder) in gone["problems"][0]
        assert "cannot be read" in gone["problems"][0]
        assert (await served.call("s.echo")).status == 200

        # The very same files: their signature is the one that was in force.
        (tmp_path / "away").rename(folder)
        await served.until(lambda found: found["problems"] == [])

        shutil.rmtree(folder)
        await served.until(lambda found: found["problems"] != [])
        assert (await served.call("s.echo")).status == 200


async def test_a_manifest_that_cannot_be_read_is_a_problem_and_no_silence(tmp_path: Path) -> None:
    """A named pipe would hang a reader, a dangling symlink may stand for a policy that denies."""
    folder = tmp_path / "folder"
    async with guarded(tmp_path, ALLOW_ALL) as served:
        os.mkfifo(folder / "pipe.yaml")
        found = await served.until(lambda found: found["problems"] != [])
        assert found["problems"] == [
            f"{folder / 'pipe.yaml'}: is no file – give a manifest, or another name"
        ]
        (folder / "pipe.yaml").unlink()
        await served.until(lambda found: found["problems"] == [])

        (folder / "deny.yaml").symlink_to("nowhere")
        found = await served.until(lambda found: found["problems"] != [])
        assert f"{folder / 'deny.yaml'}: cannot be read" in found["problems"][0]


async def test_an_emptied_folder_denies_everything_and_warns(tmp_path: Path) -> None:
    """P2: no policy means denied; it is legal, and said."""
    async with (
        scripted("echo") as source,
        guarded(tmp_path, doors.source("s", source.url), ALLOW_ALL) as served,
    ):
        before = await served.until(parts.is_ready("s"))
        (tmp_path / "folder" / "all.yaml").unlink()
        await changed(served, before)

        found = await served.status()
        assert found["problems"] == []
        assert "every call is denied" in found["warnings"][0]
        assert (await served.call("s.echo")).status in REFUSED


async def test_another_namespace_makes_callers_other_agents(tmp_path: Path) -> None:
    """Design 1: namespace = the one that the folder names; also after a reload."""
    path = tmp_path / "folder" / "all.yaml"
    rule = 'name: shop-only, tools: ["*"], when: "agent.namespace == \'shop\'", action: Allow'
    async with scripted("echo") as source:
        text = doors.source("s", source.url), policy("shop", rule)
        async with guarded(tmp_path, *text) as served:
            before = await served.until(parts.is_ready("s"))
            for _ in range(3):  # so that the head is one that the listener knows
                assert (await served.call("s.echo")).status in REFUSED

            edited = path.read_text().replace("metadata: {", "metadata: {namespace: shop, ")
            rename_over(path, edited)
            await changed(served, before)

            assert (await served.status())["namespace"] == "shop"
            assert (await served.call("s.echo")).status == 200
