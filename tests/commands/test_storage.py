"""A full, limited or read-only disk is exit 14, leaves nothing half-written, and costs nothing but a second run."""

import os
import resource
import shutil
import subprocess

import pytest

from tests.small_disk import small_disk

# More than the first files of a run and less than a bundle, which holds some 60 KB of code and 48 KB of pictures.
SMALL_BYTES = 64 * 1024


@pytest.fixture
def mount(tmp_path):
    """Return a function that mounts a memory disk with some options and returns its folder."""
    with small_disk(tmp_path / "disk") as mount_disk:
        yield mount_disk


def test_a_full_disk_under_out_is_exit_14(project, mount):
    out = mount(f"size={SMALL_BYTES}")
    result = project.deploy("--out", out)
    project.assert_stopped(result, 14, "storage", out)
    assert "found No space left on device" in result.stderr
    assert not (out / "bundle").exists()
    subprocess.run(["mount", "-o", "remount,size=8m", out], check=True)
    project.assert_passed(project.deploy("--out", out), out)


def test_a_full_disk_under_out_keeps_the_bundle_that_was_there(deployed_copy, mount):
    small = mount("size=4m")
    out = small / "dist"
    shutil.copytree(deployed_copy.out, out)
    (out / "report.html").unlink()  # a megabyte, which a run frees when it begins
    filler = small / "filler"
    filler.write_bytes(bytes(4 * 1024 * 1024 - SMALL_BYTES - sum(p.stat().st_blocks * 512 for p in out.rglob("*"))))
    before = (out / "bundle" / "manifest.json").read_bytes()
    deployed_copy.edit_recipe("metric_drop_max = 0.05", "metric_drop_max = 0.06")
    deployed_copy.assert_stopped(deployed_copy.deploy("--out", out), 14, "storage", out)
    assert (out / "bundle" / "manifest.json").read_bytes() == before
    filler.unlink()
    deployed_copy.assert_passed(deployed_copy.deploy("--out", out), out)
    assert (out / "bundle" / "manifest.json").read_bytes() != before


def test_a_full_disk_under_the_cache_is_exit_14(project, deployed, mount):
    cache = mount(f"size={SMALL_BYTES}")
    # What needs PyTorch is there already: the bundle is what has no room.
    small = project.with_cache(cache)
    for stage in ("export", "optimize", "lower-float32"):
        shutil.copytree(deployed.cache / stage, cache / stage, ignore=shutil.ignore_patterns("*.lock"))
    result = small.deploy("--precision", "float32")
    small.assert_stopped(result, 14, "storage")
    assert "found No space left on device" in result.stderr
    subprocess.run(["mount", "-o", "remount,size=8m", cache], check=True)
    small.assert_passed(small.deploy("--precision", "float32"))


@pytest.mark.parametrize("place", ["out", "cache"])
def test_a_read_only_disk_is_exit_14(project, mount, place):
    disk = mount("ro")
    result = project.deploy("--out", disk) if place == "out" else project.with_cache(disk).deploy()
    assert result.code == 14
    project.assert_message(result.stderr, "storage")
    assert "found Read-only file system" in result.stderr
    assert list(disk.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write wherever it likes")
def test_a_folder_without_the_permission_to_write_is_exit_14(project):
    out = project.folder / "locked"
    out.mkdir(mode=0o555)
    result = project.deploy("--out", out)
    assert result.code == 14
    project.assert_message(result.stderr, "storage")
    out.chmod(0o755)
    project.assert_passed(project.deploy("--out", out), out)


def test_a_file_in_the_place_of_out_is_exit_14(project):
    for out in (project.weights, project.weights / "below"):
        result = project.deploy("--out", out)
        assert result.code == 14
        project.assert_message(result.stderr, "storage")
        assert str(out) in result.stderr


def test_a_file_larger_than_the_limit_of_the_user_is_exit_14(project):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_BYTES // 2, SMALL_BYTES // 2))

    result = project.run("deploy", "tiny", "--target", "board", preexec_fn=limit)
    project.assert_stopped(result, 14, "storage")
    assert "found File too large" in result.stderr
    project.assert_passed(project.deploy())
