"""The socket of approvers who are another user: `--approvers GROUP`."""

import grp
import os
import stat
from pathlib import Path

import pytest

from mesh7_core import errors
from mesh7_sidecar import listening

OWN_GROUP = grp.getgrgid(os.getegid()).gr_name


@pytest.mark.promise("A5")
def test_the_approvers_socket_is_for_their_group_and_the_folder_passable(tmp_path: Path) -> None:
    """docs/administrator/approvers.md."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    bound = listening.people_socket(folder / "people.sock", OWN_GROUP)
    bound.close()
    for path, mode in ((folder / "people.sock", 0o660), (folder, 0o710)):
        found = path.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_gid) == (mode, os.getegid())


def test_a_group_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.SettingsError) as refused:
        listening.people_socket(tmp_path / "people.sock", "no-such-group")
    assert refused.value.message == (
        "`--approvers no-such-group`: there is no such Unix group – make it with `groupadd`"
    )
    assert not (tmp_path / "people.sock").exists()
