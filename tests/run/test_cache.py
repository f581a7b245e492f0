import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import ExitCode, ToolchainError
from toolchain.run.cache import Cache, cache_root, hash_file, hash_json, hash_sources, read_versions

INPUTS = {"weights": "abc", "options": {"epochs": 2, "names": ["a", "b"]}}

BUILDER = """
import os, sys, time
from pathlib import Path
from toolchain.run.cache import Cache

root = Path(sys.argv[1])

def write_line(name):
    with (root / name).open("a") as file:
        file.write(f"{os.getpid()}\\n")

def build(folder):
    (folder / "half").write_text("half of it")
    write_line("builds")
    while not (root / "finish").exists():
        time.sleep(0.01)
    (folder / "result").write_text("whole")

write_line("starts")
entry = Cache(root).get_or_build("stage", {"key": 1}, build)
print(entry.cached, entry.sha256)
"""


def build_files(**contents):
    def build(folder):
        for name, content in contents.items():
            (folder / name).write_text(content)

    return build


def refuse_to_build(folder):
    raise AssertionError(f"built again in {folder}")


def start_builder(root):
    return subprocess.Popen([sys.executable, "-c", BUILDER, root], stdout=subprocess.PIPE, text=True)


def wait_for_lines(path, count):
    while not path.exists() or len(path.read_text().splitlines()) < count:
        time.sleep(0.01)


def list_partials(root):
    return [path.name for path in root.glob("*/partial-*")]


def test_an_entry_is_built_once_and_then_found(tmp_path):
    cache = Cache(tmp_path)
    assert not cache.has("export", INPUTS)
    made = cache.get_or_build("export", INPUTS, build_files(model="weights"))
    found = cache.get_or_build("export", INPUTS, refuse_to_build)
    assert (made.cached, found.cached) == (False, True)
    assert (found.folder, found.sha256) == (made.folder, made.sha256)
    assert (found.folder / "model").read_text() == "weights"
    assert cache.has("export", INPUTS)


def test_the_order_of_keys_does_not_matter(tmp_path):
    cache = Cache(tmp_path)
    cache.get_or_build("export", INPUTS, build_files(model="weights"))
    turned = {"options": {"names": ["a", "b"], "epochs": 2}, "weights": "abc"}
    assert cache.get_or_build("export", turned, refuse_to_build).cached


@pytest.mark.parametrize(
    ("stage", "inputs"),
    [
        ("optimize", INPUTS),
        ("export", {**INPUTS, "weights": "abd"}),
        ("export", {**INPUTS, "seed": None}),
        ("export", {**INPUTS, "options": {"epochs": 2, "names": ["b", "a"]}}),
        ("export", {**INPUTS, "options": {"epochs": "2", "names": ["a", "b"]}}),
    ],
)
def test_another_stage_or_input_is_another_entry(tmp_path, stage, inputs):
    cache = Cache(tmp_path)
    first = cache.get_or_build("export", INPUTS, build_files(model="weights"))
    second = cache.get_or_build(stage, inputs, build_files(model="weights"))
    assert not second.cached
    assert second.folder != first.folder


def test_the_hash_of_an_entry_is_that_of_its_files_and_not_of_its_inputs(tmp_path):
    cache = Cache(tmp_path)
    first = cache.get_or_build("export", {"a": 1}, build_files(model="weights"))
    same = cache.get_or_build("export", {"a": 2}, build_files(model="weights"))
    renamed = cache.get_or_build("export", {"a": 3}, build_files(module="weights"))
    assert first.sha256 == same.sha256 != renamed.sha256


def change_document(folder, **changes):
    path = folder / "entry.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def grow(path):
    os.truncate(path, 1 << 40)  # zeros that take no room


def replace_with_folder(path):
    path.unlink()
    (path / "entry.json").mkdir(parents=True)


def replace_with_pipe(path):
    path.unlink()
    os.mkfifo(path)


def replace_with_link(path):
    """Put a link there to the same bytes outside of the cache."""
    root = next(parent for parent in path.parents if parent.name == "cache")
    path.symlink_to(path.rename(root.parent / "outside" / path.name))


def make_deep(folder):
    """Make folders deeper than Python follows, and longer than the system has paths."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deep", dir_fd=here)
        inner = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model").write_text("weightz"),
        lambda folder: (folder / "model").write_text(""),
        lambda folder: (folder / "model").unlink(),
        lambda folder: (folder / "extra").write_text("not of the build"),
        lambda folder: (folder / "sub" / "inner").rename(folder / "inner"),
        lambda folder: (folder / "entry.json").unlink(),
        lambda folder: (folder / "entry.json").write_text(""),
        lambda folder: (folder / "entry.json").write_text("[]"),
        lambda folder: (folder / "entry.json").write_text('{"files": null}'),
        lambda folder: (folder / "entry.json").write_text('{"files": {}}'),
        lambda folder: (folder / "entry.json").write_bytes(b"\xff\xfe"),
        lambda folder: (folder / "entry.json").write_text("[" * 100_000),
        lambda folder: (folder / "entry.json").write_text('{"files": {"model": ' + "[" * 900 + "]" * 900 + "}}"),
        lambda folder: (folder / "entry.json").write_text('{"files": 1' + "0" * 5000 + "}"),
        lambda folder: change_document(folder, inputs={"weights": "abd"}),
        lambda folder: change_document(folder, inputs=[]),
        lambda folder: grow(folder / "entry.json"),
        lambda folder: replace_with_folder(folder / "entry.json"),
        lambda folder: replace_with_folder(folder / "model"),
        lambda folder: replace_with_pipe(folder / "entry.json"),
        lambda folder: replace_with_pipe(folder / "model"),
        lambda folder: replace_with_link(folder / "entry.json"),
        lambda folder: replace_with_link(folder / "model"),
        lambda folder: replace_with_link(folder / "sub"),
        replace_with_link,
        lambda folder: replace_with_link(folder.parent),
        lambda folder: os.mkfifo(folder / "extra"),
        make_deep,
    ],
)
def test_a_damaged_entry_is_not_trusted_and_built_again(tmp_path, damage):
    def build(folder):
        (folder / "model").write_text("weights")
        (folder / "sub").mkdir()
        (folder / "sub" / "inner").write_text("inner")

    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "bystander").write_text("not of the cache")
    root = tmp_path / "cache"
    cache = Cache(root)
    made = cache.get_or_build("export", INPUTS, build)
    damage(made.folder)
    bystanders = {path: path.is_dir() or path.read_bytes() for path in (tmp_path / "outside").rglob("*")}
    assert not cache.has("export", INPUTS)
    again = cache.get_or_build("export", INPUTS, build)
    assert not again.cached
    assert again.sha256 == made.sha256
    assert sorted(path.name for path in again.folder.rglob("*")) == ["entry.json", "inner", "model", "sub"]
    assert cache.get_or_build("export", INPUTS, refuse_to_build).cached
    assert [path.name.partition(".")[2] for path in (root / "export").iterdir() if path != again.folder] == ["lock"]
    assert {path: path.is_dir() or path.read_bytes() for path in (tmp_path / "outside").rglob("*")} == bystanders


def test_an_entry_under_the_name_of_another_is_built_again(tmp_path):
    cache = Cache(tmp_path)
    made = cache.get_or_build("export", INPUTS, build_files(model="weights"))
    other = cache.get_or_build("export", {}, build_files(model="others"))
    shutil.rmtree(made.folder)
    other.folder.rename(made.folder)
    assert cache.find("export", INPUTS) is None
    assert not cache.get_or_build("export", INPUTS, build_files(model="weights")).cached


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to("../../outside")])
def test_a_lock_that_is_no_file_is_replaced_and_followed_nowhere(tmp_path, make):
    root = tmp_path / "cache"
    made = Cache(root).get_or_build("export", INPUTS, build_files(model="weights"))
    Path(f"{made.folder}.lock").unlink()
    make(Path(f"{made.folder}.lock"))
    assert Cache(root).get_or_build("export", INPUTS, refuse_to_build).cached
    assert Path(f"{made.folder}.lock").is_file()
    assert not (tmp_path / "outside").exists()


def test_a_link_that_a_build_makes_is_no_result(tmp_path):
    def build(folder):
        (folder / "model").symlink_to("/etc/hostname")

    with pytest.raises(ValueError, match="no file"):
        Cache(tmp_path).get_or_build("export", INPUTS, build)
    assert not Cache(tmp_path).has("export", INPUTS)


@pytest.mark.parametrize("error", [ValueError("no"), OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_build_that_raises_leaves_nothing(tmp_path, error):
    def build(folder):
        (folder / "model").write_text("half")
        raise error

    cache = Cache(tmp_path)
    with pytest.raises(type(error)):
        cache.get_or_build("export", INPUTS, build)
    assert [path.suffix for path in (tmp_path / "export").iterdir()] == [".lock"]
    assert not cache.get_or_build("export", INPUTS, build_files(model="whole")).cached


def test_two_processes_build_one_entry_once(tmp_path):
    processes = [start_builder(tmp_path) for _ in range(2)]
    wait_for_lines(tmp_path / "starts", 2)
    wait_for_lines(tmp_path / "builds", 1)
    (tmp_path / "finish").touch()
    outputs = sorted(process.communicate()[0].split() for process in processes)
    assert [output[0] for output in outputs] == ["False", "True"]
    assert outputs[0][1] == outputs[1][1]
    assert len((tmp_path / "builds").read_text().splitlines()) == 1


def test_the_partial_entry_of_a_killed_process_is_cleared_and_built_again(tmp_path):
    process = start_builder(tmp_path)
    wait_for_lines(tmp_path / "builds", 1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(list_partials(tmp_path)) == 1
    entry = Cache(tmp_path).get_or_build("stage", {"key": 1}, build_files(result="whole"))
    assert not entry.cached
    assert sorted(path.name for path in entry.folder.iterdir()) == ["entry.json", "result"]
    assert list_partials(tmp_path) == []


def test_what_a_killed_process_left_of_another_entry_is_cleared_too(tmp_path):
    process = start_builder(tmp_path)
    wait_for_lines(tmp_path / "builds", 1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    Cache(tmp_path).get_or_build("stage", {"key": 2}, build_files(result="other"))
    assert list_partials(tmp_path) == []


def test_the_partial_entry_of_a_living_process_is_kept(tmp_path):
    process = start_builder(tmp_path)
    try:
        wait_for_lines(tmp_path / "builds", 1)
        before = list_partials(tmp_path)
        Cache(tmp_path).get_or_build("stage", {"key": 2}, build_files(result="other"))
        assert list_partials(tmp_path) == before != []
    finally:
        process.kill()
        process.communicate()


def test_a_lock_file_that_nobody_holds_stops_nobody(tmp_path):
    cache = Cache(tmp_path)
    made = cache.get_or_build("export", INPUTS, build_files(model="weights"))
    shutil.rmtree(made.folder)
    Path(f"{made.folder}.lock").touch()
    assert not cache.get_or_build("export", INPUTS, build_files(model="weights")).cached


def test_entries_say_what_they_were_made_from(tmp_path):
    entry = Cache(tmp_path).get_or_build("export", INPUTS, build_files(model="weights"))
    document = json.loads((entry.folder / "entry.json").read_text())
    assert document == {"inputs": INPUTS, "files": {"model": hash_file(entry.folder / "model")}}


def test_the_root_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("TOOLCHAIN_CACHE", "/elsewhere")
    assert cache_root() == Path("/elsewhere")
    monkeypatch.delenv("TOOLCHAIN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_root() == Path("/caches/edge-toolchain")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "edge-toolchain"


def test_a_user_without_a_home_folder_is_told_to_name_one(monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME", "TOOLCHAIN_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**30)  # which no list of users has
    with pytest.raises(ToolchainError, match="no home folder") as caught:
        cache_root()
    assert caught.value.code is ExitCode.USAGE
    monkeypatch.setenv("TOOLCHAIN_CACHE", "/elsewhere")
    assert cache_root() == Path("/elsewhere")


def test_the_hash_of_sources_changes_with_a_file_and_with_its_name(tmp_path):
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "one.py").write_text("a = 1\n")
    first = hash_sources(folder)
    (folder / "notes.txt").write_text("not code")
    assert hash_sources(folder) == first
    (folder / ".venv" / "lib").mkdir(parents=True)
    (folder / ".venv" / "lib" / "other.py").write_text("not of this project")
    assert hash_sources(folder) == first
    (folder / "below").mkdir()
    (folder / "below" / "inner.py").write_text("b = 1\n")
    assert hash_sources(folder) != first
    (folder / "below" / "inner.py").unlink()
    (folder / "one.py").write_text("a = 2\n")
    second = hash_sources(folder)
    (folder / "one.py").rename(folder / "two.py")
    third = hash_sources(folder)
    assert len({first, second, third}) == 3
    assert hash_sources(folder / "two.py") == third


def test_a_library_that_is_not_installed_is_named_with_the_way_to_get_it():
    assert set(read_versions("numpy", "onnx")) == {"numpy", "onnx"}
    with pytest.raises(ToolchainError) as caught:
        read_versions("numpy", "no-such-distribution")
    assert caught.value.code == ExitCode.MISSING
    assert "no-such-distribution" in caught.value.what
    assert caught.value.fix == "python -m pip install no-such-distribution"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=5), st.randoms(use_true_random=False))
def test_equal_values_have_equal_hashes_in_any_order(value, random):
    names = list(value)
    random.shuffle(names)
    assert hash_json({name: value[name] for name in names}) == hash_json(value)


@given(JSON, JSON)
def test_values_that_differ_as_json_have_other_hashes(first, second):
    assert (hash_json(first) == hash_json(second)) == (
        json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    )
