"""A process has loaded a runtime for good; what lies on the disk may be another one since."""

import pytest

from toolchain.agent.application import loaded
from toolchain.agent.application.loaded import list_loaded_changes
from toolchain.agent.application.model import open_current
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.install.slots import Slots
from toolchain.agent.install.verdict import read_verdict
from toolchain.agent.measure.libraries import find_libraries


@pytest.fixture
def verdict(board):
    return read_verdict(Slots(board.root).folder, board.current)


def test_the_runtime_that_measured_is_no_change(verdict):
    assert list_loaded_changes(verdict) == []


def test_another_version_in_this_process_is_told(verdict, monkeypatch):
    monkeypatch.setattr("toolchain.agent.measure.runtimes.onnxruntime.read_version", lambda: "1.2.3")
    assert "has loaded 1.2.3" in list_loaded_changes(verdict)[0]


def test_a_library_that_was_replaced_under_the_process_is_told_and_not_opened(board, verdict, monkeypatch, tmp_path):
    library = next(path for name, path in find_libraries("onnxruntime").items() if "pybind11_state" in name)
    maps = tmp_path / "maps"
    maps.write_text(f"7f0000-7f1000 r-xp 00000000 08:01 1234 {library} (deleted)\n")
    monkeypatch.setattr(loaded, "_MAPS", maps)
    assert "was replaced" in list_loaded_changes(verdict)[0]
    with pytest.raises(ToolchainError) as caught:
        open_current(board.root)
    assert caught.value.code == ExitCode.EXPIRED


def test_a_library_of_another_place_is_told(verdict, monkeypatch, tmp_path):
    library = next(path for name, path in find_libraries("onnxruntime").items() if "pybind11_state" in name)
    (tmp_path / "maps").write_text(f"7f0000-7f1000 r-xp 00000000 08:01 1234 /elsewhere/{library.name}\n")
    monkeypatch.setattr(loaded, "_MAPS", tmp_path / "maps")
    assert "/elsewhere" in list_loaded_changes(verdict)[0]
