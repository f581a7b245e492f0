import os

import pytest

from toolchain.run.tree import list_files, remove


def make_deep(folder, levels):
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("file", os.O_CREAT, dir_fd=here))
    os.close(here)


def test_files_are_listed_by_path_with_their_sizes(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c").write_bytes(b"123")
    (tmp_path / "d").write_bytes(b"")
    assert list_files(tmp_path) == {"a/b/c": 3, "d": 0}


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("nothing"), lambda path: path.symlink_to(".")]
)
def test_what_is_no_file_and_no_folder_is_refused(tmp_path, make):
    make(tmp_path / "a")
    with pytest.raises(ValueError, match="of ours"):
        list_files(tmp_path)


def test_a_link_to_a_folder_is_not_listed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    with pytest.raises(ValueError, match="of ours"):
        list_files(tmp_path / "link")


def test_another_user_s_file_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a").touch()
    list_files(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: (tmp_path / "a").stat().st_uid + 1)
    with pytest.raises(ValueError, match="of ours"):
        list_files(tmp_path)


def test_folders_as_deep_as_results_are_listed_and_deeper_ones_refused(tmp_path):
    make_deep(tmp_path, 16)
    assert list_files(tmp_path) == {"d/" * 16 + "file": 0}
    remove(tmp_path / "d")
    make_deep(tmp_path, 17)
    with pytest.raises(ValueError, match="deeper"):
        list_files(tmp_path)


@pytest.mark.parametrize("levels", [1, 3000])
def test_a_folder_is_removed_however_deep_it_is(tmp_path, levels):
    (tmp_path / "a").mkdir()
    make_deep(tmp_path / "a", levels)
    remove(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_removed_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").touch()
    (tmp_path / "a").mkdir()
    (tmp_path / "a/link").symlink_to(tmp_path / "folder")
    (tmp_path / "b").symlink_to(tmp_path / "folder")
    remove(tmp_path / "a")
    remove(tmp_path / "b")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


def test_what_is_not_there_needs_no_removal(tmp_path):
    remove(tmp_path / "a")
