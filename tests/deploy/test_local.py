import dataclasses
import errno
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.small_disk import small_disk
from toolchain.agent.contents import check_contents
from toolchain.agent.manifest import encode_manifest, read_manifest
from toolchain.agent.measure.settings import DEFAULTS
from toolchain.bundle import write_bundle
from toolchain.deploy import local
from toolchain.deploy.local import LocalTransport, measure_folder
from toolchain.deploy.transport import Shipment
from toolchain.errors import ExitCode, ToolchainError


def read_tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def list_names(folder):
    return sorted(path.name for path in folder.iterdir())


def ignore_progress(step, done, total):
    pass


@pytest.fixture
def out(tmp_path):
    return tmp_path / "dist"


@pytest.fixture
def other_bundle(bundle_inputs, tmp_path):
    folder = tmp_path / "other"
    write_bundle(bundle_inputs(model="other"), folder)
    return folder


def place(out, bundle):
    with LocalTransport(out) as board:
        board.place_bundle(Shipment(bundle=bundle))


def assert_refused(code, out, bundle):
    with pytest.raises(ToolchainError) as caught:
        place(out, bundle)
    assert caught.value.code == code
    return caught.value


def test_a_placed_bundle_is_the_bundle_and_nothing_else_is_left(out, make_bundle):
    bundle = make_bundle()
    place(out, bundle)
    assert read_tree(out / "bundle") == read_tree(bundle)
    assert list_names(out) == [".lock", "bundle"]


def test_a_new_bundle_takes_the_place_of_the_old_one(out, make_bundle, other_bundle):
    place(out, make_bundle())
    place(out, other_bundle)
    assert read_tree(out / "bundle") == read_tree(other_bundle)
    assert list_names(out) == [".lock", "bundle"]


def test_it_works_where_folders_cannot_be_exchanged(out, make_bundle, other_bundle, monkeypatch):
    monkeypatch.setattr("toolchain.deploy.swap._exchange", lambda first, second: False)
    place(out, make_bundle())
    place(out, other_bundle)
    assert read_tree(out / "bundle") == read_tree(other_bundle)
    assert list_names(out) == [".lock", "bundle"]


def test_a_damaged_bundle_is_refused_and_the_old_one_stays(out, make_bundle, other_bundle):
    place(out, make_bundle())
    before = read_tree(out / "bundle")
    (other_bundle / "payload/int8/model.onnx").write_bytes(b"damaged")
    assert_refused(ExitCode.CONTENT, out, other_bundle)
    assert read_tree(out / "bundle") == before
    assert list_names(out) == [".lock", "bundle"]


def test_a_link_in_the_bundle_is_refused_and_not_followed(out, make_bundle):
    bundle = make_bundle()
    (bundle / "payload/int8/model.onnx").unlink()
    (bundle / "payload/int8/model.onnx").symlink_to("/etc/hostname")
    assert_refused(ExitCode.CONTENT, out, bundle)
    assert list_names(out) == [".lock"]


def test_a_folder_that_is_no_bundle_is_refused(out, tmp_path):
    (tmp_path / "empty").mkdir()
    assert_refused(ExitCode.MALFORMED, out, tmp_path / "empty")


def test_what_a_killed_deploy_left_is_cleared(out, make_bundle):
    (out / "bundle.partial-dead/bundle/payload").mkdir(parents=True)
    place(out, make_bundle())
    assert list_names(out) == [".lock", "bundle"]


def test_the_old_bundle_comes_back_after_a_kill_between_two_renames(out, make_bundle, other_bundle):
    place(out, make_bundle())
    before = read_tree(out / "bundle")
    (out / "bundle").rename(out / "bundle.previous")
    (other_bundle / "payload/int8/model.onnx").write_bytes(b"damaged")
    assert_refused(ExitCode.CONTENT, out, other_bundle)
    assert read_tree(out / "bundle") == before


# Deploys NEW over OLD again and again, in a child that is killed at its n-th call of something that changes the disk,
# and prints what is on the disk afterwards: the bundle's model, once for each n, until a child lives to its end.
KILLED_DEPLOYS = """
    import os, shutil, signal, sys
    from pathlib import Path
    from toolchain.agent.contents import check_contents
    from toolchain.agent.manifest import encode_manifest, read_manifest
    from toolchain.deploy import local, swap
    from toolchain.deploy.transport import Shipment

    out, old, new = (Path(argument) for argument in sys.argv[1:4])
    os.fsync = lambda descriptor: None  # a killed process loses nothing that it wrote; a power cut is another test
    if sys.argv[4] == "two renames":
        swap._exchange = lambda first, second: False

    def place(bundle):
        with local.LocalTransport(out) as board:
            board.place_bundle(Shipment(bundle=bundle))

    def kill_at(left):
        def count(function):
            def call(*arguments, **options):
                nonlocal left
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)
            return call

        swap._exchange = count(swap._exchange)
        for owner, name in ((shutil, "copy2"), (shutil, "rmtree"), (os, "fsync"), (Path, "rename"), (Path, "mkdir")):
            setattr(owner, name, count(getattr(owner, name)))

    for step in range(10_000):
        place(old)
        child = os.fork()
        if child == 0:
            kill_at(step)
            place(new)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        state = out / "bundle" if (out / "bundle").exists() else out / "bundle.previous"
        manifest, _ = read_manifest(state)
        check_contents(state, manifest)
        print(manifest.model)
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))
"""


def drop_agent(bundle):
    """Make a bundle of a few files, for tests that copy it often."""
    manifest, _ = read_manifest(bundle)
    shutil.rmtree(bundle / "agent")
    files = tuple(entry for entry in manifest.files if not entry.path.startswith("agent/"))
    (bundle / "manifest.json").write_bytes(encode_manifest(dataclasses.replace(manifest, files=files)))
    return bundle


@pytest.mark.parametrize("way", ["exchange", "two renames"])
def test_a_kill_at_any_step_leaves_the_old_or_the_new_bundle_whole(out, make_bundle, other_bundle, way):
    bundles = [drop_agent(make_bundle()), drop_agent(other_bundle)]
    script = [sys.executable, "-c", textwrap.dedent(KILLED_DEPLOYS), out, *bundles, way]
    done = subprocess.run(script, check=True, capture_output=True, text=True)
    models = done.stdout.split()
    assert len(models) > 15
    assert set(models) == {"small", "other"}
    assert models == sorted(models, reverse=True)  # from some step on it is the new one


def test_two_deploys_at_once_are_refused(out, make_bundle):
    bundle = make_bundle()
    with LocalTransport(out):
        error = assert_refused(ExitCode.BUSY, out, bundle)
    assert str(out) in error.where
    assert error.found.startswith(f"process {os.getpid()} of ")
    place(out, bundle)


def test_the_lock_goes_with_a_killed_process(out, make_bundle):
    script = f"""
        import os, signal
        from pathlib import Path
        from toolchain.deploy.local import LocalTransport
        with LocalTransport(Path({str(out)!r})):
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert (out / ".lock").exists()
    place(out, make_bundle())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO], ids=errno.errorcode.get)
def test_a_disk_that_cannot_be_written_is_a_storage_error_and_the_old_bundle_stays(
    out, make_bundle, other_bundle, monkeypatch, number
):
    place(out, make_bundle())
    before = read_tree(out / "bundle")

    def fail(source, target, **_options):
        Path(target).write_bytes(b"half")
        raise OSError(number, os.strerror(number), str(source), None, str(target))

    monkeypatch.setattr(local.shutil, "copy2", fail)
    error = assert_refused(ExitCode.STORAGE, out, other_bundle)
    assert str(out) in error.what
    assert error.found == os.strerror(number)
    monkeypatch.undo()
    assert read_tree(out / "bundle") == before
    assert list_names(out) == [".lock", "bundle"]


def test_other_errors_of_the_system_are_not_taken_for_a_full_disk(out, make_bundle, monkeypatch):
    def fail(*_arguments, **_options):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(local.shutil, "copy2", fail)
    with pytest.raises(OSError, match="Too many"):
        place(out, make_bundle())


@pytest.fixture
def full_disk(tmp_path):
    with small_disk(tmp_path / "disk") as mount_disk:
        yield mount_disk("size=128k")


def test_a_full_disk_is_a_storage_error_and_leaves_nothing(full_disk, make_bundle):
    error = assert_refused(ExitCode.STORAGE, full_disk / "dist", make_bundle())
    assert "space" in error.found.lower()
    assert list_names(full_disk / "dist") == [".lock"]


@pytest.mark.parametrize("out", ["file", "file/dist"])
def test_a_file_in_place_of_the_output_folder_is_a_storage_error(tmp_path, make_bundle, out):
    (tmp_path / "file").write_text("")
    assert_refused(ExitCode.STORAGE, tmp_path / out, make_bundle())


def test_facts_are_those_of_this_machine(out):
    with LocalTransport(out) as board:
        assert board.read_facts("onnxruntime").runtime == "onnxruntime"


def test_our_own_agent_verifies_the_bundle_and_adds_nothing_to_it(out, make_bundle):
    steps = []
    with LocalTransport(out) as board:
        board.place_bundle(Shipment(bundle=make_bundle()))
        before = read_tree(out / "bundle")
        result = board.measure_bundle(lambda step, done, total: steps.append(step))
    assert result.document["verdict"] == "pass"
    assert result.document["record"]["bundle_id"] == read_manifest(out / "bundle")[1]
    assert "parity int8" in steps
    assert result.samples_ms == {}
    assert read_tree(out / "bundle") == before


def test_nothing_that_lies_in_a_bundle_is_executed(out, make_bundle, monkeypatch):
    bundle = make_bundle()
    marker = out.parent / "executed"
    for name in ("agent", "numpy", "toolchain", "json"):
        (bundle / name).mkdir(exist_ok=True)
        (bundle / name / "__init__.py").write_text(f"open({str(marker)!r}, 'w')")
    monkeypatch.chdir(bundle)
    with pytest.raises(ToolchainError) as caught:
        measure_folder(bundle, DEFAULTS, ignore_progress)
    assert caught.value.code == ExitCode.CONTENT
    assert not marker.exists()


def test_a_failed_verdict_is_returned_and_not_raised(out, make_bundle, write_model):
    with LocalTransport(out) as board:
        board.place_bundle(Shipment(bundle=make_bundle(candidates={"float32": write_model("nan")})))
        result = board.measure_bundle(ignore_progress)
    assert result.document["exit_code"] == ExitCode.PARITY
    assert result.document["verdict"] == "fail"


def test_an_error_of_the_agent_is_raised_with_its_code(out, make_bundle):
    with LocalTransport(out) as board:
        board.place_bundle(Shipment(bundle=make_bundle(signature="required")))
        with pytest.raises(ToolchainError) as caught:
            board.measure_bundle(ignore_progress)
    assert caught.value.code == ExitCode.SIGNATURE
    assert caught.value.fix


def test_a_placed_bundle_does_not_need_its_source(out, make_bundle):
    bundle = make_bundle()
    place(out, bundle)
    shutil.rmtree(bundle)
    check_contents(out / "bundle", read_manifest(out / "bundle")[0])
