import pytest

from toolchain.agent.measure import jetson
from toolchain.agent.measure.jetson import Jetson, read_jetson, read_number

RELEASE = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n"


@pytest.fixture
def commands(monkeypatch):
    """Return a dict to put outputs of commands into; a command without one is not installed."""
    outputs = {}
    monkeypatch.setattr(jetson, "_run", lambda command: outputs.get(command[0]))
    return outputs


def write(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_jetson_tells_its_release_power_mode_and_clocks(tmp_path, commands):
    write(tmp_path, etc__nv_tegra_release=RELEASE)
    clocks = tmp_path / "sys/class/devfreq/17000000.gpu"
    clocks.mkdir(parents=True)
    (clocks / "cur_freq").write_text("306000000\n")
    (clocks / "max_freq").write_text("1020000000\n")
    commands["nvpmodel"] = "NV Power Mode: MAXN_SUPER\n2"
    commands["dpkg-query"] = "6.2+b77"
    assert read_jetson(tmp_path) == Jetson(
        l4t="36.4.3", jetpack="6.2+b77", power_mode="MAXN_SUPER", gpu_clock_hz=306000000, gpu_clock_max_hz=1020000000
    )


def test_what_a_jetson_does_not_tell_is_unknown(tmp_path, commands):
    write(tmp_path, etc__nv_tegra_release=RELEASE)
    (tmp_path / "sys/class/devfreq/gpu-gpc-0").mkdir(parents=True)
    assert read_jetson(tmp_path) == Jetson(
        l4t="36.4.3", jetpack=None, power_mode=None, gpu_clock_hz=None, gpu_clock_max_hz=None
    )


def test_on_another_machine_no_command_is_asked(tmp_path, commands):
    commands["nvpmodel"] = "NV Power Mode: MAXN"
    assert read_jetson(tmp_path) == Jetson(None, None, None, None, None)


@pytest.mark.parametrize("text", ["", "N/A", "1.5", "12 MHz"])
def test_what_is_no_whole_number_is_unknown(tmp_path, text):
    (tmp_path / "file").write_text(text)
    assert read_number(tmp_path / "file") is None


def test_a_command_that_is_not_there_or_fails_says_nothing():
    assert jetson._run(["no-such-command-of-nvidia"]) is None
    assert jetson._run(["false"]) is None
    assert jetson._run(["echo", "text"]) == "text"
