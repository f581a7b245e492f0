"""A verdict that nobody reads to its end, as `| head -1` does, keeps its exit code: a pass is no error, a failure no pass."""

import pytest


def deploy_unread(project, *arguments):
    process = project.start("deploy", "tiny", "--target", "board", *arguments)
    process.stdout.close()
    stderr = process.stderr.read()
    process.stderr.close()
    return process.wait(), stderr


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_a_pass_without_a_reader_is_exit_0(project, arguments):
    code, stderr = deploy_unread(project, *arguments)
    assert (code, "unexpected" in stderr) == (0, False), stderr
    assert project.read_report()["verdict"] == "pass"


def test_a_failure_without_a_reader_keeps_its_exit_code(project):
    project.edit_recipe("[gates]", "[gates]\nsqnr_db_min = { int8 = 150.0, float32 = 190.0 }")
    code, stderr = deploy_unread(project)
    assert (code, "unexpected" in stderr) == (18, False), stderr
    assert project.read_report()["exit_code"] == 18
