"""Who else could change a folder, or put another one in its place."""

import os
import pwd

import pytest

from toolchain.agent import ownership
from toolchain.agent.ownership import find_fault, is_writable_by_others, list_owners

STRANGER = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="to give a file to somebody else needs root")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "above/folder"
    path.mkdir(parents=True)
    path.chmod(0o755)
    path.parent.chmod(0o755)
    return path


def assert_fault(folder, where, *words):
    found = find_fault(str(folder), list_owners())
    assert found[0] == str(where)
    assert all(word in " ".join(found) for word in words), found


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o500])
def test_a_folder_that_only_its_owner_changes_is_taken(folder, mode):
    folder.chmod(mode)
    assert find_fault(str(folder), list_owners()) == ()


@pytest.mark.parametrize("mode", [0o757, 0o777, 0o1777])
def test_a_folder_that_everyone_writes_in_is_a_fault_also_with_the_sticky_bit(folder, mode):
    folder.chmod(mode)
    assert_fault(folder, folder, f"mode {mode:04o}", f"chmod go-w {folder}")


def test_so_is_one_below_a_folder_that_everyone_writes_in(folder):
    folder.parent.chmod(0o777)
    assert_fault(folder, folder.parent, "mode 0777")


def test_the_sticky_bit_protects_what_is_in_a_folder(folder):
    folder.parent.chmod(0o1777)
    assert find_fault(str(folder), list_owners()) == ()


def test_a_folder_that_is_not_made_yet_depends_on_those_above_it(folder):
    assert find_fault(str(folder / "new/newer"), list_owners()) == ()
    folder.chmod(0o777)
    assert_fault(folder / "new/newer", folder)


def test_a_link_leads_to_a_folder_that_is_looked_at_too(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert find_fault(str(tmp_path / "link"), list_owners()) == ()
    folder.parent.chmod(0o777)
    assert_fault(tmp_path / "link", folder.parent)


@as_root
@pytest.mark.parametrize("name", ["folder", "parent"])
def test_a_folder_of_another_user_is_a_fault_and_so_is_one_below_it(folder, name):
    path = folder if name == "folder" else folder.parent
    os.chown(path, STRANGER, -1)
    assert_fault(folder, path, f"user {STRANGER}", "root = in devices.toml")
    assert find_fault(str(folder), list_owners() | {STRANGER}) == ()


@as_root
def test_a_link_of_another_user_is_a_fault(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    os.lchown(tmp_path / "link", STRANGER, -1)
    assert_fault(tmp_path / "link", tmp_path / "link")


@as_root
def test_what_a_container_does_not_know_may_be_above_but_is_no_folder_of_ours(folder):
    os.chown(folder.parent, 65534, -1)
    assert find_fault(str(folder), list_owners()) == ()
    os.chown(folder, 65534, -1)
    assert_fault(folder, folder)


@pytest.mark.parametrize(
    ("members", "is_shared"), [(set(), False), ({0}, False), ({STRANGER}, False), ({STRANGER, 7}, True), ({-1}, True)]
)
def test_a_group_counts_by_who_else_is_in_it(folder, monkeypatch, members, is_shared):
    monkeypatch.setattr(ownership, "_list_members", lambda group: members)
    folder.chmod(0o775)
    assert is_writable_by_others(folder.stat(), {0, STRANGER}) is is_shared
    folder.chmod(0o755)
    assert not is_writable_by_others(folder.stat(), {0, STRANGER})


def test_members_are_those_by_their_account_too():
    own = pwd.getpwuid(os.geteuid())
    assert own.pw_uid in ownership._list_members(own.pw_gid)
    assert ownership._list_members(54321) == set()
