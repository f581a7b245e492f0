"""A deploy to a place of a labgrid farm, by the real command."""

import pytest

pytest.importorskip("labgrid", reason="labgrid is not installed: pip install 'edge-toolchain[labgrid]'")


def describe(farm, native):
    lines = native.describe("bench", labgrid=str(farm.environment), ssh_config=str(farm.config)).splitlines(
        keepends=True
    )
    return "".join(line for line in lines if not line.startswith("host ="))


def test_a_model_is_deployed_to_an_acquired_place_and_to_no_other(project, farm, native):
    (project.folder / "devices.toml").write_text(describe(farm, native))
    result = project.run("deploy", "tiny", "--device", "bench")
    assert (result.code, result.stderr) == (16, result.stderr)
    assert "place bench is not acquired" in result.stderr
    farm.run("-p", "bench", "acquire")
    out = project.out / "bench"
    project.assert_passed(project.run("deploy", "tiny", "--device", "bench"), out)
    assert project.read_report(out)["device"]["name"] == "bench"
    assert (native.root / "current" / "manifest.json").read_bytes() == (out / "bundle" / "manifest.json").read_bytes()
    assert project.run("status", "--device", "bench").code == 0
