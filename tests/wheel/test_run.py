import zipfile

from tests.wheel.run import list_committed, list_lost


def write_wheel(path, names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return path


def test_a_wheel_with_every_committed_file_lacks_none(tmp_path):
    names = list_committed().values()
    assert "toolchain/targets/cpu.toml" in names
    assert "toolchain/report/report.schema.json" in names
    assert list_lost(write_wheel(tmp_path / "w.whl", names)) == []


def test_a_file_that_the_wheel_forgot_is_named_as_it_is_in_the_checkout(tmp_path):
    names = set(list_committed().values()) - {"toolchain/targets/cpu.toml", "toolchain/report/report.css"}
    assert sorted(list_lost(write_wheel(tmp_path / "w.whl", names))) == [
        "targets/cpu.toml",
        "toolchain/report/report.css",
    ]
