"""What the emulator leaves in a devices.toml, and what it says where it cannot start."""

import os

import pytest

from toolchain.emulator import board, inside
from toolchain.errors import ExitCode, ToolchainError

OTHERS = '# mine\n[lab-pi]\ntarget = "raspberrypi"\nhost = "lab-pi"\n'


def test_the_board_is_written_beside_other_devices(tmp_path):
    devices = tmp_path / "devices.toml"
    devices.write_text(OTHERS)
    board._write_device(devices, tmp_path, "cpu-arm64")
    board._write_device(devices, tmp_path, "cpu-arm64")  # twice is once
    text = devices.read_text()
    assert text.startswith(OTHERS)
    assert text.count("[board]") == 1


def test_stopping_takes_the_board_out_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path / "cache"))
    devices = tmp_path / "devices.toml"
    devices.write_text("[board]\ntarget = 'x'\n" + OTHERS)
    board.stop_board(devices)
    assert devices.read_text().endswith('[lab-pi]\ntarget = "raspberrypi"\nhost = "lab-pi"\n')
    assert "[board]" not in devices.read_text()


def test_a_missing_tool_is_named_with_its_package(monkeypatch, tmp_path):
    monkeypatch.setattr(board, "_TOOLS", {"no-such-tool": "its-package"})
    with pytest.raises(ToolchainError, match="no-such-tool") as caught:
        board.start_board(tmp_path / "devices.toml")
    assert caught.value.code is ExitCode.MISSING
    assert "its-package" in caught.value.fix


def test_a_user_without_rights_is_told_so(monkeypatch, tmp_path):
    monkeypatch.setattr(board, "_TOOLS", {})
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ToolchainError, match="needs root") as caught:
        board.start_board(tmp_path / "devices.toml")
    assert caught.value.code is ExitCode.USAGE


def test_a_board_has_the_runtime_of_its_target(monkeypatch, tmp_path):
    asked = []

    def build(runtime):
        asked.append(runtime)
        raise ToolchainError(ExitCode.UNEXPECTED, "enough")

    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path))
    monkeypatch.setattr(board, "require_root", lambda: None)
    monkeypatch.setattr(board, "build_root", build)
    (tmp_path / "other.toml").write_text('runtime = "tensorrt"\nprecision = ["int8"]\n')
    for target in ((), (str(tmp_path / "other.toml"),)):
        with pytest.raises(ToolchainError, match="enough"):
            board.start_board(tmp_path / "devices.toml", *target)
    assert asked == ["onnxruntime", "tensorrt"]


def test_the_lent_python_is_refused_without_rights_too(monkeypatch, tmp_path):
    monkeypatch.setattr(board, "_TOOLS", {})
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ToolchainError, match="needs root"):
        inside.write_python(tmp_path)


def test_the_lent_python_sees_the_repository_and_temporary_files(monkeypatch, tmp_path):
    root = tmp_path / "a root"
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(inside, "require_root", lambda: None)
    monkeypatch.setattr(inside, "register_interpreter", lambda: None)
    monkeypatch.setattr(inside, "build_root", lambda _runtime: root)
    (tmp_path / "cache/emulator").mkdir(parents=True)
    script = inside.write_python(tmp_path / "its repository")
    assert (root / str(tmp_path / "its repository").lstrip("/")).is_dir()
    assert f" '{root}' '{tmp_path}/its repository' " in script.read_text()


def test_another_process_of_that_number_is_not_killed(monkeypatch, tmp_path):
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path))
    run = board.board_folder() / "run"
    run.mkdir(parents=True)
    (run / "pid").write_text(str(os.getpid()))
    board.stop_board(tmp_path / "devices.toml")  # this very test would end
    assert not (run / "pid").exists()
