"""A deploy that ends without a verdict leaves no verdict of an earlier one: its own reports, or none."""

import fcntl
import json
import shutil
import signal
import xml.etree.ElementTree as ET

import pytest

from toolchain.report import REPORT_FILES

YESTERDAY = "pass, of yesterday"
STATEMENTS = (*REPORT_FILES, "log.jsonl")


def plant_pass(out):
    """Put everything into a folder that an earlier deploy could have said there."""
    out.mkdir(parents=True, exist_ok=True)
    for name in STATEMENTS:
        (out / name).write_text(YESTERDAY)


def assert_forgotten(out):
    """Nothing in the folder says what an earlier deploy said."""
    assert [name for name in STATEMENTS if (out / name).exists() and YESTERDAY in (out / name).read_text()] == []


def assert_reported(out, code):
    """The folder says that the deploy of now failed, in the forms for machines and for people."""
    assert_forgotten(out)
    report = json.loads((out / "report.json").read_text())
    assert (report["verdict"], report["exit_code"], report["error"]["code"]) == ("fail", code, code)
    suites = ET.fromstring((out / "junit.xml").read_text())
    assert suites.get("failures") == "1"
    assert report["error"]["what"] in suites.find("testsuite/system-err").text
    assert "PASS" not in (out / "report.html").read_text()


def break_recipe(project):
    project.edit_recipe("[gates]", "[gates]\nlatency_max = 100000")


def break_toml(project):
    project.edit_recipe("[gates]", "[gates")


def remove_builder(project):
    (project.folder / "models" / "tiny" / "model.py").unlink()


def remove_weights(project):
    project.weights.unlink()


def remove_data(project):
    (project.folder / "data" / "tiny.npz").unlink()


def damage_data(project):
    (project.folder / "data" / "tiny.npz").write_bytes(b"PK")


def break_target(project):
    project.edit("targets/board.toml", "emulated = true", "emulated = maybe")


def remove_numpy(project):
    """Let the interpreter find a numpy that is not there, as in an installation that is half gone."""
    (project.folder / "numpy.py").write_text('raise ModuleNotFoundError("No module named \'numpy\'", name="numpy")')


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (break_recipe, 2),
        (break_toml, 2),
        (break_target, 2),
        (remove_builder, 2),
        (remove_weights, 3),
        (remove_data, 3),
        (remove_numpy, 3),
        (damage_data, 23),
    ],
)
def test_a_deploy_that_an_error_stops_reports_itself_alone(deployed_copy, fault, code):
    out = deployed_copy.out
    plant_pass(out)
    fault(deployed_copy)
    result = deployed_copy.deploy()
    assert (result.code, result.stderr) == (code, result.stderr)
    assert_reported(out, code)
    deployed_copy.assert_nothing_half_written()  # the bundle of the earlier run lies there still, and nothing says that it passed


def test_a_deploy_that_nothing_stops_replaces_what_an_earlier_one_said(deployed_copy):
    plant_pass(deployed_copy.out)
    deployed_copy.assert_passed(deployed_copy.deploy())
    assert_forgotten(deployed_copy.out)


@pytest.mark.parametrize(
    "words",
    [
        ["tiny", "--target", "board", "--fast"],
        ["--fast", "tiny", "--target", "board"],
        ["tiny", "--targt", "board"],
        ["tiny", "--target", "board", "--latency-samples", "many"],
        ["tiny", "--target", "board", "--precision", "int4"],
        ["tiny", "--target", "board", "--counter", "-1"],
        ["tiny", "tiny", "--target", "board"],
        ["models/tiny/recipe.toml", "--target", "targets/board.toml", "--calibration", "data/tiny.npz"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_is_refused_reports_itself_alone(project, words):
    plant_pass(project.out)
    assert project.run("deploy", *words).code == 2
    assert_reported(project.out, 2)


def test_a_model_that_was_there_yesterday_has_no_pass_today(project):
    plant_pass(project.out)
    shutil.rmtree(project.folder / "models" / "tiny")
    assert project.deploy().code == 2
    assert_reported(project.out, 2)


@pytest.mark.parametrize(
    "words", [["tny", "--target", "board"], ["tiny", "--target", "bord"], ["../tiny"], ["gone.onnx"], ["*"]]
)
def test_a_name_of_nothing_makes_no_folder(project, words):
    assert project.run("deploy", *words).code == 2
    assert not (project.folder / "dist").exists()


def test_a_folder_that_was_named_gets_the_report_whatever_was_wrong(project):
    out = project.folder / "named"
    plant_pass(out)
    assert project.run("deploy", "tny", "--out", out).code == 2
    assert_reported(out, 2)


def test_each_of_several_boards_loses_its_pass_before_the_first_has_its_turn(project):
    (project.folder / "devices.toml").write_text(
        "".join(f'[{name}]\ntarget = "board"\nhost = "nowhere.invalid"\n' for name in ("one", "two"))
    )
    places = [project.out / name for name in ("one", "two")]
    for place in places:
        plant_pass(place)
    break_recipe(project)
    assert project.run("deploy", "tiny", "--device", "one,two").code == 2
    for place in places:
        assert_reported(place, 2)


def test_a_list_of_devices_that_cannot_be_read_leaves_no_pass_of_the_device(project):
    (project.folder / "devices.toml").write_text("[lab")
    plant_pass(project.out / "lab")
    plant_pass(project.out / "other")
    assert project.run("deploy", "tiny", "--device", "lab").code == 2
    assert_reported(project.out / "lab", 2)
    assert (project.out / "other" / "report.json").read_text() == YESTERDAY  # nobody asked about that one


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_deploy_that_a_signal_ends_leaves_no_report(deployed_copy, number):
    for name in REPORT_FILES:
        (deployed_copy.out / name).write_text(YESTERDAY)
    process = deployed_copy.start_anew("deploy", "tiny", "--target", "board")
    assert deployed_copy.wait_for(process, "deploy", "start")
    process.send_signal(number)
    process.communicate()
    assert process.returncode != 0
    assert [name for name in REPORT_FILES if (deployed_copy.out / name).exists()] == []


@pytest.mark.parametrize("fault", [break_recipe, lambda project: None], ids=["usage", "busy"])
def test_the_reports_of_a_deploy_at_work_are_left_to_it(project, fault):
    plant_pass(project.out)
    fault(project)
    with (project.out / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert project.deploy().code in {2, 17}
    assert {(project.out / name).read_text() for name in STATEMENTS} == {YESTERDAY}


def test_a_lowering_leaves_no_engine_of_an_earlier_one_beside_its_model(project, deployed):
    reference = next((deployed.out / "bundle" / "payload").glob("float32/model.onnx"))
    lowered = project.folder / "lowered"
    lowered.mkdir()
    for name in ("model.onnx", "model.engine", "lowering.json"):
        (lowered / name).write_text(YESTERDAY)
    shutil.copy(reference, project.folder / "net.onnx")
    result = project.run("lower", "net.onnx", "--calibration", "data/tiny.npz", "--precision", "float32", "-o", lowered)
    assert (result.code, result.stderr) == (0, result.stderr)
    assert {path.name for path in lowered.iterdir()} == {"model.onnx", "lowering.json"}
    assert json.loads((lowered / "lowering.json").read_text())["precision"] == "float32"
