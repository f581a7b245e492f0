"""A run that is killed at any moment leaves nothing that a later run trusts; two runs at once do not hurt each other."""

import shutil
import time
from contextlib import ExitStack

from filelock import FileLock

from toolchain.agent.manifest import read_manifest

ENDS = (
    "evidence",
    "export",
    "optimize",
    "golden",
    "lower-int8",
    "lower-float32",
    "explain",
    "bundle",
    "deploy",
    "verify",
)


def read_tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def list_entries(cache):
    """Return the finished entries of a cache, STAGE/KEY."""
    return [path.parent.relative_to(cache) for path in cache.glob("*/*/entry.json") if "partial-" not in str(path)]


def kill_at(project, stage, event):
    process = project.start_anew("deploy", "tiny", "--target", "board")
    assert project.wait_for(process, stage, event)
    process.kill()
    process.communicate()


def kill_when(project, condition):
    """Kill a deploy as soon as the condition holds, or when it ended without."""
    process = project.start_anew("deploy", "tiny", "--target", "board")
    while process.poll() is None and not condition():
        time.sleep(0.0005)
    process.kill()
    process.communicate()


def assert_only_whole_entries(project, reference):
    """Every entry that a later run would take is that of a run which nobody killed, byte by byte."""
    for entry in list_entries(project.cache):
        assert read_tree(project.cache / entry) == read_tree(reference.cache / entry)


def test_a_run_killed_at_every_boundary_and_inside_of_stages_goes_on_to_the_same_bundle(project, deployed):
    project = project.with_cache(project.folder / "cache")

    def has_file_of(stage):
        return any(path.is_file() for path in project.cache.glob(f"{stage}/partial-*/**/*"))

    kill_at(project, "evidence", "start")
    assert list_entries(project.cache) == []
    for stage in ENDS:
        if stage in ("lower-int8", "bundle"):  # while files are being written
            kill_when(project, lambda stage=stage: has_file_of(stage))
            assert_only_whole_entries(project, deployed)
        kill_at(project, stage, "end")
        assert_only_whole_entries(project, deployed)
    project.assert_passed(project.deploy())
    assert project.read_report()["bundle_id"] == deployed.read_report()["bundle_id"]
    assert {stage["cached"] for stage in project.read_report()["stages"][:-2]} == {True}
    assert sorted(list_entries(project.cache)) == sorted(
        {entry for entry in list_entries(deployed.cache) if (project.cache / entry).exists()}
    )


def test_a_run_killed_while_it_places_a_bundle_leaves_the_old_or_the_new_one_whole(deployed_copy):
    project = deployed_copy
    old = project.read_report()["bundle_id"]
    project.edit_recipe("metric_drop_max = 0.05", "metric_drop_max = 0.07")
    bundle_ids, reported_ids = set(), set()
    for condition in (
        lambda: any(line["stage"] == "deploy" for line in project.read_log()),
        lambda: any(project.out.glob("bundle.partial-*/bundle/golden")),
        lambda: any(project.out.glob("bundle.partial-*/bundle/payload")),
        lambda: not (project.out / "bundle" / "manifest.json").exists(),  # which never is
    ):
        kill_when(project, condition)
        seen = project.folder / "seen"
        shutil.copytree(project.out / "bundle", seen)
        assert project.run("verify", seen).code == 0
        bundle_ids.add(read_manifest(seen)[1])
        shutil.rmtree(seen)
        if (project.out / "report.json").exists():  # the run was faster than the signal
            reported_ids.add(project.read_report()["bundle_id"])
    project.assert_passed(project.deploy())
    new = project.read_report()["bundle_id"]
    assert new != old
    assert bundle_ids <= {old, new}
    assert reported_ids <= {new}  # the report of the old one went before the work began


def test_of_two_runs_in_one_folder_the_second_is_refused_and_the_first_passes(deployed_copy):
    # Whoever holds the lock of an entry keeps a run that needs it where it is.
    with ExitStack() as locks:
        for path in deployed_copy.cache.glob("golden/*/entry.json"):
            locks.enter_context(FileLock(f"{path.parent}.lock"))
        first = deployed_copy.start_anew("deploy", "tiny", "--target", "board")
        assert deployed_copy.wait_for(first, "golden", "start")
        second = deployed_copy.deploy()
    _, stderr = first.communicate()
    assert second.code == 17
    deployed_copy.assert_message(second.stderr, "busy")
    assert (first.returncode, stderr) == (0, stderr)
    assert deployed_copy.read_report()["verdict"] == "pass"
    deployed_copy.assert_nothing_half_written()


def test_two_runs_with_one_cache_build_each_stage_once_and_both_pass(project):
    project.edit_recipe('calibration = "minmax"', 'calibration = "percentile"')
    outs = [project.folder / "one", project.folder / "two"]
    processes = [project.start("deploy", "tiny", "--target", "board", "--out", out) for out in outs]
    for process in processes:
        _, stderr = process.communicate()
        assert (process.returncode, stderr) == (0, stderr)
    reports = [project.read_report(out) for out in outs]
    assert reports[0]["bundle_id"] == reports[1]["bundle_id"]
    for name in ("lower-int8", "bundle"):
        cached = [stage["cached"] for report in reports for stage in report["stages"] if stage["name"] == name]
        assert sorted(cached) == [False, True]
