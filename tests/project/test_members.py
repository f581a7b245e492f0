import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contracts.conftest import installed, plugins
from tests.contracts.outside import write_plugin
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.members import find_member, list_members, load_member, read_text
from toolchain.project.seams import CALIBRATION_METHODS, DATA_SETS, METHODS, METRICS

GOOD = 'SUMMARY = "nothing"\nTRAINS = False\nOptions = dict\n\ndef apply(draft, options, material):\n    return ()\n'

__all__ = ["installed", "plugins"]


def assert_refused(call, *words):
    with pytest.raises(ToolchainError) as caught:
        call()
    error = caught.value
    assert error.code is ExitCode.USAGE
    assert error.where
    assert error.expected
    assert error.fix
    for word in words:
        assert word in str(error)
    return error


def test_members_are_ours_the_projects_and_those_of_installed_packages(installed, plugins):
    before = set(list_members(METHODS)) - {"acme_halve"}
    path = write_plugin(plugins, "methods", "mine", GOOD)
    found = list_members(METHODS)
    assert set(found) == before | {"acme_halve", "mine"}
    assert (found["mine"].path, found["mine"].place) == (path, str(path))
    assert found["acme_halve"].path == installed / "acme_edge" / "halve.py"
    assert "acme-edge 1.0" in found["acme_halve"].place
    assert found["qat"].is_ours
    assert set(list_members(DATA_SETS)) >= {"acme_patterns", "npz"}
    assert set(list_members(CALIBRATION_METHODS)) >= {"acme_wide", "minmax"}


def test_a_module_that_does_not_define_what_its_seam_needs_is_no_member_of_ours():
    found = list_members(DATA_SETS)
    assert "npz" in found
    assert "dataset" not in found


def test_listing_imports_neither_ours_nor_theirs(installed, plugins):
    write_plugin(plugins, "methods", "mine", "raise SystemExit(7)\n")
    script = (
        "import sys\n"
        "from toolchain.project.members import list_members\n"
        "from toolchain.project.seams import DATA_SETS, METHODS\n"
        "assert {'acme_halve', 'mine', 'qat'} <= set(list_members(METHODS)), list_members(METHODS)\n"
        "list_members(DATA_SETS)\n"
        "print(sorted({'torch', 'numpy', 'onnx', 'acme_edge', 'toolchain.compress'} & set(sys.modules)))\n"
    )
    path = os.pathsep.join([str(installed), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout == "[]\n"


def test_a_member_of_the_project_is_imported_and_so_is_one_of_a_package(installed, plugins):
    write_plugin(plugins, "methods", "mine", GOOD)
    assert load_member(find_member(METHODS, "mine")).apply(None, None, None) == ()
    assert load_member(find_member(METHODS, "acme_halve")).SUMMARY == "halve the weights"


def test_two_projects_may_have_a_member_of_one_name(plugins, tmp_path, monkeypatch):
    for folder, word in ((plugins, "one"), (tmp_path / "other", "two")):
        write_plugin(folder, "methods", "mine", GOOD.replace("nothing", word))
        monkeypatch.chdir(folder)
        assert word == load_member(find_member(METHODS, "mine")).SUMMARY


def test_a_file_that_begins_with_an_underscore_is_no_member(plugins):
    write_plugin(plugins, "methods", "_shared", "")
    assert "_shared" not in list_members(METHODS)


def test_nobody_takes_the_name_of_one_of_ours(plugins):
    path = write_plugin(plugins, "methods", "qat", GOOD)
    assert_refused(lambda: find_member(METHODS, "qat"), str(path), "toolchain.compress.methods.qat", f"rename {path}")


def test_nobody_takes_the_name_of_another(installed, plugins):
    path = write_plugin(plugins, "methods", "acme_halve", GOOD)
    assert_refused(lambda: list_members(METHODS), str(path), "acme-edge 1.0", f"rename {path}")


def test_a_package_that_takes_a_name_of_ours_is_refused_by_its_own(installed):
    notes = installed / "acme_edge-1.0.dist-info" / "entry_points.txt"
    notes.write_text(notes.read_text().replace("acme_halve =", "qat ="))
    assert_refused(lambda: list_members(METHODS), "toolchain.compress.methods.qat", "uninstall acme-edge 1.0")


def test_an_unknown_name_is_refused_with_the_known_ones_and_the_one_that_was_meant(installed, plugins):
    error = assert_refused(
        lambda: find_member(METHODS, "acme_halv", where="recipe.toml: compress[0]"), "magnitude_pruning"
    )
    assert (error.where, error.fix) == ("recipe.toml: compress[0]", "write acme_halve")
    error = assert_refused(lambda: find_member(METHODS, "zzz", where="here"))
    assert error.fix == "correct the name, or add plugins/methods/zzz.py"


@pytest.mark.parametrize("name", [None, 3, "", "../methods/qat", ["qat"]])
def test_what_is_no_name_is_refused(plugins, name):
    assert_refused(lambda: find_member(METHODS, name, where="here"))


def test_a_member_that_lacks_what_its_seam_needs_is_refused_with_what_it_lacks(plugins):
    path = write_plugin(plugins, "methods", "mine", GOOD.replace("TRAINS", "TRAIN"))
    assert_refused(lambda: load_member(find_member(METHODS, "mine")), str(path), "no TRAINS", "define TRAINS")


@pytest.mark.parametrize(
    ("text", "word"),
    [("import nowhere_at_all\n", "nowhere_at_all"), ("def (:\n", "SyntaxError"), ("1 / 0\n", "ZeroDivision")],
)
def test_a_member_that_breaks_as_it_is_imported_is_refused_with_why(plugins, text, word):
    path = write_plugin(plugins, "methods", "mine", text)
    assert_refused(lambda: load_member(find_member(METHODS, "mine")), str(path), word)


def test_a_broken_member_breaks_no_other(plugins):
    write_plugin(plugins, "methods", "mine", "def (:\n")
    assert load_member(find_member(METHODS, "magnitude_pruning")).SUMMARY


def test_an_entry_point_that_is_no_module_is_refused_with_its_package(installed):
    notes = installed / "acme_edge-1.0.dist-info" / "entry_points.txt"
    notes.write_text("[toolchain.methods]\nacme_halve = acme_edge.halve:apply\n")
    assert_refused(lambda: list_members(METHODS), "acme-edge 1.0", "acme_edge.halve:apply")


def test_an_entry_point_of_a_module_that_is_gone_is_refused_when_it_is_used(installed):
    (installed / "acme_edge" / "halve.py").unlink()
    member = find_member(METHODS, "acme_halve")
    assert_refused(lambda: load_member(member), "acme_edge.halve")
    assert_refused(lambda: read_text(member, "SUMMARY"), "no such file")


def test_a_summary_is_read_and_not_run(plugins):
    write_plugin(plugins, "methods", "mine", 'raise SystemExit(7)\nSUMMARY = ("one "\n  "line")\n')
    assert read_text(find_member(METHODS, "mine"), "SUMMARY") == "one line"


def test_a_summary_that_is_computed_cannot_be_read(plugins):
    path = write_plugin(plugins, "methods", "mine", GOOD.replace('"nothing"', '"no" + "thing"'))
    assert_refused(lambda: read_text(find_member(METHODS, "mine"), "SUMMARY"), str(path))


def test_every_method_of_ours_has_a_summary_of_one_line():
    for member in list_members(METHODS).values():
        summary = read_text(member, "SUMMARY")
        assert summary
        assert "\n" not in summary


@pytest.mark.parametrize(
    ("seam", "name"),
    [
        (METRICS, "my-metric"),
        (METRICS, "\u00fcn\u00ef"),
        (METRICS, "v.2"),
        (METRICS, "none"),
        (CALIBRATION_METHODS, "auto"),
    ],
)
def test_a_name_that_no_board_or_recipe_can_mean_is_refused_at_once(plugins, seam, name):
    path = write_plugin(plugins, seam.name, name, "")
    assert_refused(lambda: list_members(seam), f"rename {path}")
    path.unlink()
    write_plugin(plugins, seam.name, "fine_1", "")
    assert "fine_1" in list_members(seam)
