from pathlib import Path

import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.device import DEFAULT_ROOT, find_devices, read_devices

GOOD = """
[pi]
target = "raspberrypi"
host = "lab-pi"

[farm-1]
target = "raspberrypi"
labgrid = "env/farm.yaml"
root = "/srv/edge"
sign = "~/.ssh/key"
"""


@pytest.fixture
def write(tmp_path):
    def write_text(text):
        path = tmp_path / "devices.toml"
        path.write_text(text)
        return path

    return write_text


def assert_refused(path, *texts, names=None):
    with pytest.raises(ToolchainError) as caught:
        read_devices(path) if names is None else find_devices(names, path=path)
    assert caught.value.code == ExitCode.USAGE
    for text in texts:
        assert text in str(caught.value)
    assert caught.value.fix


def test_devices_are_read_with_their_names_and_defaults(write):
    devices = read_devices(write(GOOD))
    assert list(devices) == ["pi", "farm-1"]
    pi, farm = devices.values()
    assert (pi.name, pi.target, pi.host, pi.root, pi.python) == ("pi", "raspberrypi", "lab-pi", DEFAULT_ROOT, "python3")
    assert (farm.host, farm.root, farm.place) == (None, "/srv/edge", "labgrid env/farm.yaml")


def test_paths_are_relative_to_the_file_or_to_the_home_folder(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    farm = read_devices(write(GOOD))["farm-1"]
    assert farm.resolve(farm.labgrid) == tmp_path / "env/farm.yaml"
    assert farm.resolve(farm.sign) == Path("/home/someone/.ssh/key")


def test_a_home_folder_of_nobody_is_refused_with_its_place(tmp_path):
    text = '[farm]\ntarget = "cpu"\nhost = "farm"\nsign = "~nobody-of-this-name/key"\n'
    (tmp_path / "devices.toml").write_text(text)
    farm = read_devices(tmp_path / "devices.toml")["farm"]
    with pytest.raises(ToolchainError, match="~nobody-of-this-name") as caught:
        farm.resolve(farm.sign)
    assert caught.value.code is ExitCode.USAGE
    assert caught.value.where == f"{tmp_path / 'devices.toml'}: farm"


def test_without_the_file_there_are_no_devices(tmp_path):
    assert read_devices(tmp_path / "devices.toml") == {}


def test_the_example_is_a_good_file():
    path = Path(__file__).parents[2] / "devices.example.toml"
    assert read_devices(path)["lab-pi"].target == "raspberrypi"


def test_several_devices_come_in_the_order_that_was_asked_for(write):
    assert [device.name for device in find_devices("farm-1, pi", path=write(GOOD))] == ["farm-1", "pi"]


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        ("farm-2", ["no device is called farm-2", "write farm-1"]),
        ("pi,pi", ["named twice"]),
        ("pi,", ["a device has no name"]),
        ("", ["a device has no name"]),
    ],
)
def test_a_name_that_does_not_fit_is_refused(write, names, texts):
    assert_refused(write(GOOD), *texts, names=names)


def test_without_devices_the_error_says_what_to_write(tmp_path):
    assert_refused(tmp_path / "devices.toml", "write [pi] with target and host", names="pi")


@pytest.mark.parametrize(
    ("old", "new", "texts"),
    [
        ('host = "lab-pi"', 'hots = "lab-pi"', ["unknown key", "write host"]),
        ('host = "lab-pi"', "", ["host or labgrid", "neither"]),
        ('host = "lab-pi"', 'host = "a"\nlabgrid = "b"', ["host or labgrid", "both"]),
        ('host = "lab-pi"', "host = 5", ["pi: host"]),
        ('host = "lab-pi"', 'host = "-oProxyCommand=sh"', ["pi.host"]),
        ('host = "lab-pi"', 'host = "a b"', ["pi.host"]),
        ('host = "lab-pi"', 'host = ""', ["pi.host"]),
        ('root = "/srv/edge"', 'root = "srv"', ["farm-1.root", "absolute"]),
        ('root = "/srv/edge"', 'root = "~other/x"', ["farm-1.root"]),
        ('root = "/srv/edge"', "stall_s = 0", ["stall_s"]),
        ('target = "raspberrypi"\nhost', "host", ["lacks a key", "target"]),
        ("[pi]", "pi = 3\n[pie]", ["this is no device"]),
        ("[pi]", '["../pi"]', ["letters, digits"]),
        ("[pi]", '["-pi"]', ["letters, digits"]),
        ("[pi]", "[pi", ["not valid TOML"]),
    ],
)
def test_anything_wrong_is_refused_with_its_place(write, old, new, texts):
    assert GOOD.count(old) == 1
    assert_refused(write(GOOD.replace(old, new)), "devices.toml", *texts)
