import os
import subprocess
import sys

import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.run import cache_folder
from toolchain.run.cache import Cache
from toolchain.run.cache_folder import find_first_start_ns, lock_entry, mark_running, open_root


def refuse(root):
    with pytest.raises(ToolchainError) as caught:
        open_root(root)
    assert caught.value.code is ExitCode.USAGE
    assert "TOOLCHAIN_CACHE" in caught.value.fix
    return caught.value


def test_a_cache_that_is_made_is_the_user_s_alone(tmp_path):
    open_root(tmp_path / "a/b")
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o700
    open_root(tmp_path / "a/b")


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o500])
def test_a_cache_that_others_may_read_is_used(tmp_path, mode):
    tmp_path.chmod(mode)
    open_root(tmp_path)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_cache_that_everyone_may_write_is_refused(tmp_path, mode):
    tmp_path.chmod(mode)
    assert "chmod" in refuse(tmp_path).fix


def test_a_cache_that_a_group_may_write_is_used_where_the_group_is_the_user_s_alone(tmp_path, monkeypatch):
    tmp_path.chmod(0o775)
    monkeypatch.setattr(cache_folder, "_is_private", lambda group: True)
    open_root(tmp_path)
    monkeypatch.setattr(cache_folder, "_is_private", lambda group: False)
    refuse(tmp_path)


def test_another_user_s_cache_is_refused_before_anything_in_it_is_used(tmp_path, monkeypatch):
    made = Cache(tmp_path).get_or_build("export", {}, lambda folder: (folder / "model").touch())
    assert Cache(tmp_path).find("export", {}) is not None
    monkeypatch.setattr(os, "geteuid", lambda: made.folder.stat().st_uid + 1)
    assert "another user's" in refuse(tmp_path).what
    for use in (lambda cache: cache.find("export", {}), lambda cache: cache.get_or_build("export", {}, os.rmdir)):
        with pytest.raises(ToolchainError, match="another user's"):
            use(Cache(tmp_path))


def test_a_link_of_the_user_to_another_disk_is_a_cache(tmp_path):
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "cache").symlink_to(tmp_path / "disk")
    Cache(tmp_path / "cache").get_or_build("export", {}, lambda folder: (folder / "model").touch())
    assert Cache(tmp_path / "cache").has("export", {})


def test_the_first_start_is_that_of_the_oldest_command_that_still_runs(tmp_path):
    assert find_first_start_ns(tmp_path) is None
    first, second = mark_running(tmp_path), mark_running(tmp_path)
    starts = [os.fstat(descriptor).st_mtime_ns for descriptor in (first, second)]
    assert find_first_start_ns(tmp_path) == starts[0] <= starts[1]
    os.close(first)
    assert find_first_start_ns(tmp_path) == starts[1]
    os.close(second)
    assert find_first_start_ns(tmp_path) is None
    assert list((tmp_path / "running").iterdir()) == []


def test_a_killed_command_runs_no_more(tmp_path):
    code = "import os, sys; from toolchain.run.cache_folder import *; mark_running(__import__('pathlib').Path(sys.argv[1])); os.abort()"
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False, stderr=subprocess.DEVNULL)
    assert len(list((tmp_path / "running").iterdir())) == 1
    assert find_first_start_ns(tmp_path) is None


def test_who_waits_for_a_lock_whose_file_is_removed_locks_the_next_one(tmp_path):
    folder = tmp_path / "entry"
    held, waiting, other = lock_entry(folder), lock_entry(folder, timeout_s=5), lock_entry(folder, timeout_s=0)
    with held:
        (tmp_path / "entry.lock").unlink()
        with waiting, pytest.raises(TimeoutError), other:  # the file of before is nobody's any more
            pass
