"""What a verdict rests on: found without loading the runtime, and every change of it told; equal bytes are no change."""

import os
import shutil
import subprocess
import sys
from dataclasses import fields, replace

import pytest

from toolchain.agent.install.expiry import list_changes
from toolchain.agent.measure.environment import Environment, read_environment
from toolchain.agent.measure.libraries import find_libraries, hash_libraries

BEFORE = Environment(
    runtime="onnxruntime",
    runtime_version="1.32.0",
    package_version="1.32.0",
    libraries={"onnxruntime/capi/a.so": "0" * 64},
    python="3.11.7",
    arch="aarch64",
    cpu="Cortex-A76",
    cpu_features=("asimd", "asimddp"),
    kernel="6.6.31",
    gpu_driver=None,
    l4t=None,
    power_mode=None,
)
CHANGES = {
    "runtime_version": ("1.23.2", "onnxruntime 1.32.0 → 1.23.2"),
    "package_version": (None, "package onnxruntime 1.32.0 → none"),
    "libraries": ({"onnxruntime/capi/a.so": "1" * 64}, "onnxruntime 1.32.0: other bytes in onnxruntime/capi/a.so"),
    "python": ("3.12.1", "Python 3.11.7 → 3.12.1"),
    "arch": ("armv7l", "architecture aarch64 → armv7l"),
    "cpu": ("Cortex-X4", "CPU Cortex-A76 → Cortex-X4"),
    "cpu_features": (("asimd", "sme"), "CPU features: lost asimddp, new sme"),
    "kernel": ("6.12.1", "kernel 6.6.31 → 6.12.1"),
    "gpu_driver": ("540.4.0", "GPU driver none → 540.4.0"),
    "l4t": ("36.4.0", "L4T none → 36.4.0"),
    "power_mode": ("15W", "power mode none → 15W"),
}


def test_nothing_changed_in_an_equal_environment():
    assert list_changes(BEFORE, replace(BEFORE)) == []


@pytest.mark.parametrize("name", [field.name for field in fields(Environment) if field.name != "runtime"])
def test_a_change_of_any_part_is_told(name):
    value, words = CHANGES[name]
    assert list_changes(BEFORE, replace(BEFORE, **{name: value})) == [words]


def test_a_runtime_that_is_gone_is_told_once():
    gone = replace(BEFORE, runtime_version=None, package_version=None, libraries={})
    assert list_changes(BEFORE, gone) == ["onnxruntime 1.32.0 → none"]


def test_many_libraries_are_not_all_named():
    before = replace(BEFORE, libraries={f"{index}.so": "0" * 64 for index in range(9)})
    [change] = list_changes(before, replace(before, libraries={}))
    assert change.endswith("4.so and 4 more")


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Return the folder of a runtime `fake` with one library, first on Python's path."""
    folder = tmp_path / "site/fake"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text('raise ImportError("must not be loaded")\n__version__ = "1.2.3"\n')
    (folder / "libfake.so.1").write_bytes(b"\x7fELF one")
    monkeypatch.syspath_prepend(folder.parent)
    return folder


def test_a_runtime_is_found_and_hashed_without_being_loaded(fake):
    environment = read_environment("fake")
    assert (environment.runtime_version, environment.package_version) == ("1.2.3", None)
    assert list(environment.libraries) == ["fake/__init__.py", "fake/libfake.so.1"]
    assert "fake" not in sys.modules


def test_a_runtime_that_is_not_there_has_no_version_and_no_libraries():
    environment = read_environment("a_runtime_of_nobody")
    assert (environment.runtime_version, environment.libraries) == (None, {})


def test_a_runtime_in_another_folder_with_the_same_bytes_is_the_same(fake, tmp_path, monkeypatch):
    before = read_environment("fake")
    shutil.copytree(fake, tmp_path / "other/fake")
    monkeypatch.syspath_prepend(tmp_path / "other")
    assert str(find_libraries("fake")["fake/__init__.py"]).startswith(str(tmp_path / "other"))
    assert list_changes(before, read_environment("fake")) == []


def test_a_library_that_was_only_touched_is_the_same_and_one_that_was_dated_back_is_read_again(fake):
    library = fake / "libfake.so.1"
    known = hash_libraries("fake", {})
    before = read_environment("fake", known)
    os.utime(library, (1, 1))
    assert list_changes(before, read_environment("fake", hash_libraries("fake", known))) == []
    stat = library.stat()
    known = hash_libraries("fake", known)
    library.write_bytes(b"\x7fELF two")
    os.utime(library, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    [change] = list_changes(before, read_environment("fake", hash_libraries("fake", known)))
    assert change == "fake 1.2.3: other bytes in fake/libfake.so.1"


def test_what_did_not_change_is_not_read_again(fake, monkeypatch):
    known = hash_libraries("fake", {})

    def fail(path):
        raise AssertionError(path)

    monkeypatch.setattr("toolchain.agent.measure.libraries.compute_sha256", fail)
    assert hash_libraries("fake", known) == known
    (fake / "libnew.so").write_bytes(b"\x7fELF new")
    with pytest.raises(AssertionError, match="libnew"):
        hash_libraries("fake", known)


def test_status_and_the_answer_for_applications_load_neither_numpy_nor_a_runtime():
    code = (
        "import sys; import toolchain.agent.install.status, toolchain.agent.install.answer;"
        "import toolchain.agent.install.__main__, toolchain.agent.__main__;"
        "print({'numpy', 'onnxruntime', 'tensorrt'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
