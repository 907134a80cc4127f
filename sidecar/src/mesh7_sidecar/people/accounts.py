"""A user of the machine by number: name and groups, from the account database."""

import grp
import os
import pwd
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One user.

    Attributes:
        person: `uid:<n>`, what distinct people are counted by.
        name: the login name; the number when nobody has it.
        groups: names of all groups, sorted; numbers where a group has no name.
    """

    uid: int
    person: str
    name: str
    groups: tuple[str, ...]


def account_of(uid: int, gid: int) -> Account:
    """The account with this number, as the database has it now.

    Not the groups that the process carries: those are as old as its login, and a person who was
    taken out of a group must not decide any more. May ask a directory server, so it may block.

    Args:
        gid: the process's own group, for a user that the database does not know.
    """
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(uid=uid, person=f"uid:{uid}", name=str(uid), groups=(_group(gid),))
    numbers = os.getgrouplist(entry.pw_name, entry.pw_gid)
    groups = tuple(sorted({_group(number) for number in numbers}))
    return Account(uid=uid, person=f"uid:{uid}", name=entry.pw_name, groups=groups)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
