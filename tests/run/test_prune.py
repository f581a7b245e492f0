import os
import shutil
import time

import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.run import prune
from toolchain.run.cache import Cache
from toolchain.run.cache_folder import lock_entry, mark_running
from toolchain.run.prune import list_entries, prune_cache, read_size_max_gb

DAY_S = 24 * 3600
SIZE_BYTES = 1_000_000


def build(folder):
    (folder / "model").write_bytes(bytes(SIZE_BYTES))


def make(root, key, *, age_days):
    """Return the folder of an entry that was last used so long ago."""
    folder = Cache(root).get_or_build("export", {"key": key}, build).folder
    used_s = time.time() - age_days * DAY_S
    os.utime(folder / "entry.json", (used_s, used_s))
    return folder


def prune_by(root, *, days=1000.0, gigabytes=1000.0):
    return prune_cache(root, unused_days_max=days, size_max_gb=gigabytes)


def test_entries_are_listed_with_their_sizes_the_longest_unused_first(tmp_path):
    folders = [make(tmp_path, key, age_days=age) for key, age in enumerate((1, 3, 2))]
    found = list_entries(tmp_path)
    assert [kept.folder for kept in found] == [folders[1], folders[2], folders[0]]
    assert all(SIZE_BYTES < kept.size_bytes < SIZE_BYTES + 1000 for kept in found)
    assert list_entries(tmp_path / "none") == []


def test_what_was_not_used_for_so_long_goes_with_its_lock_and_the_rest_stays(tmp_path):
    old, new = make(tmp_path, 1, age_days=31), make(tmp_path, 2, age_days=29)
    pruned = prune_by(tmp_path, days=30)
    assert (pruned.entries, pruned.left_entries) == (1, 1)
    assert SIZE_BYTES < pruned.size_bytes < SIZE_BYTES + 1000
    assert sorted(path.name for path in (tmp_path / "export").iterdir()) == [new.name, f"{new.name}.lock"]
    assert not old.exists()


def test_the_longest_unused_goes_first_until_the_others_have_room(tmp_path):
    folders = [make(tmp_path, key, age_days=age) for key, age in enumerate((1, 4, 2, 3))]
    pruned = prune_by(tmp_path, gigabytes=2.5 * SIZE_BYTES / 1e9)
    assert [folder.exists() for folder in folders] == [True, False, True, False]
    assert pruned.left_bytes <= 2.5 * SIZE_BYTES


def test_an_entry_that_is_used_is_not_old_any_more(tmp_path):
    folder = make(tmp_path, 1, age_days=100)
    assert Cache(tmp_path).has("export", {"key": 1})
    assert prune_by(tmp_path, days=1).entries == 0
    assert folder.exists()


def test_what_a_running_command_used_stays_and_what_it_did_not_goes(tmp_path):
    unused = make(tmp_path, 1, age_days=1)
    running = Cache(tmp_path)
    used = running.get_or_build("export", {"key": 2}, build).folder
    assert prune_by(tmp_path, gigabytes=0).entries == 1
    assert (unused.exists(), used.exists()) == (False, True)
    del running
    assert prune_by(tmp_path, gigabytes=0).entries == 1
    assert not used.exists()


def test_an_entry_whose_lock_is_held_stays(tmp_path):
    folder = make(tmp_path, 1, age_days=100)
    with lock_entry(folder):
        assert prune_by(tmp_path, days=1).entries == 0
    assert folder.exists()
    assert prune_by(tmp_path, days=1).entries == 1


def test_an_entry_that_is_used_while_the_others_are_looked_at_stays(tmp_path, monkeypatch):
    folder = make(tmp_path, 1, age_days=100)
    listed = list_entries(tmp_path)
    monkeypatch.setattr(prune, "list_entries", lambda root: listed)
    assert Cache(tmp_path).has("export", {"key": 1})
    assert prune_by(tmp_path, days=1).entries == 0
    assert folder.exists()


def test_what_killed_commands_left_goes(tmp_path):
    folder = make(tmp_path, 1, age_days=0)
    stage = folder.parent
    (stage / ("partial-" + "1" * 64)).mkdir()
    (stage / ("discarded-" + "2" * 16) / "deep").mkdir(parents=True)
    (stage / ("3" * 64 + ".lock")).touch()
    for key, age_days in (("4" * 64, 100), ("5" * 64, 1)):
        (tmp_path / "work" / key).mkdir(parents=True)
        os.utime(tmp_path / "work" / key, (time.time() - age_days * DAY_S,) * 2)
    assert prune_by(tmp_path, days=90).entries == 0
    assert sorted(path.name for path in stage.iterdir()) == [folder.name, f"{folder.name}.lock"]
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["5" * 64]


def test_what_is_being_built_stays(tmp_path):
    (tmp_path / "export").mkdir()
    folder = tmp_path / "export" / ("1" * 64)
    partial = folder.with_name(f"partial-{folder.name}")
    partial.mkdir()
    with lock_entry(folder):
        prune_by(tmp_path, days=0, gigabytes=0)
        assert partial.exists()
        assert folder.with_name(f"{folder.name}.lock").exists()


def test_what_is_no_result_stays(tmp_path):
    others = [
        tmp_path / "datasets/cifar/data.bin",
        tmp_path / "emulator/root-1/bin/sh",
        tmp_path / "machine_speed.json",
    ]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (0, 0))
    (tmp_path / "outside").mkdir()
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / ("1" * 64)).symlink_to(tmp_path / "outside")
    prune_by(tmp_path, days=0, gigabytes=0)
    assert all(path.exists() for path in (*others, tmp_path / "outside"))


def test_the_first_build_of_a_command_makes_room_and_a_run_without_one_does_not(tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLCHAIN_CACHE_MAX_GB", "0")
    first = Cache(tmp_path).get_or_build("export", {"key": 1}, build).folder
    assert Cache(tmp_path).get_or_build("export", {"key": 1}, shutil.rmtree).cached
    os.utime(
        first / "entry.json", (time.time() - 1,) * 2
    )  # what a file system's clock tells from the next command's start
    Cache(tmp_path).get_or_build("export", {"key": 2}, build)
    assert not first.exists()


def test_a_command_that_runs_keeps_another_from_taking_its_room(tmp_path, monkeypatch):
    folder = make(tmp_path, 1, age_days=0)
    start = mark_running(tmp_path)
    os.utime(folder / "entry.json")
    monkeypatch.setenv("TOOLCHAIN_CACHE_MAX_GB", "0")
    Cache(tmp_path).get_or_build("export", {"key": 2}, build)
    assert folder.exists()
    os.close(start)


@pytest.mark.parametrize("text", ["twenty", "-1", "nan", "inf", "1e999"])
def test_a_limit_that_is_none_is_refused(monkeypatch, text):
    monkeypatch.setenv("TOOLCHAIN_CACHE_MAX_GB", text)
    with pytest.raises(ToolchainError) as caught:
        read_size_max_gb()
    assert caught.value.code is ExitCode.USAGE


@pytest.mark.parametrize(("text", "size_gb"), [("", 20), ("0.5", 0.5), ("0", 0)])
def test_the_limit_is_the_environment_s_or_the_default(monkeypatch, text, size_gb):
    monkeypatch.setenv("TOOLCHAIN_CACHE_MAX_GB", text)
    assert read_size_max_gb() == size_gb
