"""Who can change a folder of ours: its owner and root, or others too.

The host sends this text before that of deploy/loader.py, which runs where the agent is not yet: it has to be understood by
old Pythons, and imports nothing of ours.
"""

import grp
import os
import pwd
import stat

# How a container's user namespace shows owners that it does not have, such as that of its / (user_namespaces(7)): none of
# them acts in it.
_OVERFLOW_ID = 65534


def list_owners() -> set:  # type: ignore[type-arg] # set[...] is no expression before Python 3.9
    """Return the users who may change what is ours: this process's, and root."""
    return {os.geteuid(), 0}


def name_user(number: int) -> str:
    """Return a user's name, or the number of one that has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return "user {}".format(number)


def _list_members(group: int) -> set:  # type: ignore[type-arg]
    members = {entry.pw_uid for entry in pwd.getpwall() if entry.pw_gid == group}
    try:
        names = grp.getgrgid(group).gr_mem
    except KeyError:  # a group without a name has no other members
        names = []
    for name in names:
        try:
            members.add(pwd.getpwnam(name).pw_uid)
        except KeyError:  # somebody of whom nothing is known
            members.add(-1)
    return members


def is_writable_by_others(status: os.stat_result, owners: set) -> bool:  # type: ignore[type-arg]
    """Return whether anybody but these owners may write; a group that has nobody else is a user's own (umask 002)."""
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _list_members(status.st_gid) <= owners


def _list_folders(path: str) -> list:  # type: ignore[type-arg]
    # The folder, all above it, and all above what it is a link to.
    found = []
    for folder in (os.path.abspath(path), os.path.realpath(path)):
        while folder not in found:
            found.append(folder)
            folder = os.path.dirname(folder)  # noqa: PLW2901 - upwards
    return found


def find_fault(path: str, owners: set) -> tuple:  # type: ignore[type-arg]
    """Return why others than these owners can change a folder, or put another in its place: where, expected, found, fix.

    Empty where they cannot. As StrictModes of sshd has it, but that a sticky folder such as /tmp protects what is in it.
    """
    own = (os.path.abspath(path), os.path.realpath(path))
    for folder in _list_folders(path):
        trusted = owners if folder in own else owners | {_OVERFLOW_ID}
        try:
            statuses = [os.lstat(folder), os.stat(folder)]
        except FileNotFoundError:  # made later, in folders that nobody else can change
            continue
        strangers = [status.st_uid for status in statuses if status.st_uid not in trusted]
        if strangers:
            expected = "a folder of " + " or ".join(name_user(number) for number in sorted(owners))
            fix = (
                "name a folder of your own (on a board: root = in devices.toml), or have root give you this one: chown"
            )
            return folder, expected, "one of " + name_user(strangers[0]), fix
        is_sticky = folder not in own and statuses[1].st_mode & stat.S_ISVTX
        if not is_sticky and is_writable_by_others(statuses[1], owners):
            expected = "a folder that " + name_user(statuses[1].st_uid) + " alone can change"
            fix = "look at what lies there, then: chmod go-w " + folder
            return folder, expected, "mode {:04o}".format(stat.S_IMODE(statuses[1].st_mode)), fix
    return ()
