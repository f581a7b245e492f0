"""Members from outside, through the real command: a file of the project, and a module of an installed package."""

import json
from dataclasses import replace

import pytest
from safetensors.numpy import load_file

from tests.contracts.outside import PACKAGE, install_package, write_plugin
from tests.tiny_project import cached_project, project

__all__ = ["cached_project", "project"]

HEAD = "6.weight"


@pytest.fixture
def own(cached_project):
    """Return a project with a cache of its own and the members of halve, patterns and wide as files."""
    for seam, name in (("methods", "halve"), ("data_sets", "patterns"), ("calibration_methods", "wide")):
        text = (PACKAGE / "acme_edge" / f"{name}.py").read_text()
        own_text = text.replace("from acme_edge.factor import FACTOR", "FACTOR = 0.5")
        write_plugin(cached_project.folder, seam, f"my_{name}", own_text)
    return cached_project


@pytest.fixture
def theirs(cached_project, tmp_path):
    """Return a project with a cache of its own, and a package installed beside it."""
    folder = tmp_path / "site"
    folder.mkdir()
    return replace(cached_project, python_path=(install_package(folder),))


def name_data(project, name):
    project.edit_recipe('name = "npz"\noptions = { path = "../../data/tiny.npz" }', f'name = "{name}"')


def compress(project, method):
    """Compress the last layer by a method, and return how much of its weight is left and how often that was computed."""
    recipe = project.folder / "models" / "tiny" / "recipe.toml"
    if "[[compress]]" not in recipe.read_text():
        recipe.write_text(f'{recipe.read_text()}\n[[compress]]\nmethod = "{method}"\nlayers = ["6"]\n')
    result = project.run("compress", "tiny", "--out", project.folder / "small.safetensors")
    assert (result.code, result.stderr) == (0, result.stderr)
    before, after = load_file(project.weights), load_file(project.folder / "small.safetensors")
    return after[HEAD].sum() / before[HEAD].sum(), count(project, f"compress-1-{method}")


def count(project, stage):
    """Return how many results of a stage lie in the cache."""
    return len(list((project.cache / stage).glob("*/entry.json")))


def test_a_method_and_a_data_set_of_the_project_are_used_and_count_in_the_key(own):
    name_data(own, "my_patterns")
    assert compress(own, "my_halve") == (0.5, 1)
    assert compress(own, "my_halve") == (0.5, 1)
    # What nothing uses rebuilds nothing: another method, a broken one too.
    write_plugin(own.folder, "methods", "other", "def (:\n")
    own.edit("plugins/calibration_methods/my_wide.py", "COUNTS = False", "COUNTS = True")
    assert compress(own, "my_halve") == (0.5, 1)
    # What is used rebuilds what uses it.
    own.edit("plugins/methods/my_halve.py", "FACTOR = 0.5", "FACTOR = 0.25")
    assert compress(own, "my_halve") == (0.25, 2)
    own.edit("plugins/data_sets/my_patterns.py", "scale=0.8", "scale=0.7")
    assert compress(own, "my_halve") == (0.25, 3)


def test_a_method_and_a_data_set_of_a_package_are_used_and_all_of_the_package_counts(theirs):
    name_data(theirs, "acme_patterns")
    assert compress(theirs, "acme_halve") == (0.5, 1)
    site = theirs.python_path[0]
    (site / "beside.py").write_text("NOTHING = 1\n")
    assert compress(theirs, "acme_halve") == (0.5, 1)
    factor = site / "acme_edge" / "factor.py"
    factor.write_text(factor.read_text().replace("0.5", "0.125"))
    assert compress(theirs, "acme_halve") == (0.125, 2)


@pytest.mark.parametrize("member", ["my_wide", "acme_wide"])
def test_a_calibration_method_from_outside_chooses_the_ranges(own, theirs, member):
    project = replace(own, python_path=theirs.python_path)
    assert project.deploy().code == 0
    project.edit_recipe('calibration = "minmax"', f'calibration = "{member}"')
    project.assert_passed(project.deploy())
    documents = [json.loads(path.read_text()) for path in project.cache.glob("lower-int8/*/lowering.json")]
    by_method = {next(iter(document["calibration_sqnr_db"])): document for document in documents}
    assert by_method.keys() == {"minmax", member}
    assert by_method[member]["ranges"] == by_method["minmax"]["ranges"]


def test_a_changed_calibration_method_lowers_again_and_nothing_before_it(own):
    own.edit_recipe('calibration = "minmax"', 'calibration = "my_wide"')
    own.assert_passed(own.deploy())
    before = {stage: count(own, stage) for stage in ("export", "optimize", "lower-int8", "lower-float32")}
    own.edit("plugins/calibration_methods/my_wide.py", "min(observation.low, 0.0)", "min(observation.low, -1.0)")
    own.deploy()
    assert {stage: count(own, stage) for stage in before} == {**before, "lower-int8": before["lower-int8"] + 1}


def test_methods_from_outside_are_listed(own, theirs):
    listed = json.loads(replace(own, python_path=theirs.python_path).run("methods", "--json").stdout)
    assert listed["my_halve"] == listed["acme_halve"] == "halve the weights"
    assert "qat" in listed


def test_a_member_that_takes_a_name_of_ours_stops_the_command(own):
    write_plugin(own.folder, "methods", "qat", "")
    result = own.run("methods")
    own.assert_stopped(result, 2, "usage")
    assert "plugins/methods/qat.py" in result.stderr
    assert "toolchain.compress.methods.qat" in result.stderr


def test_a_member_that_is_broken_stops_the_command_that_uses_it_and_no_other(own):
    own.edit("plugins/methods/my_halve.py", "TRAINS = False", "")
    assert own.run("methods").code == 0
    own.edit_recipe("[gates]", '[[compress]]\nmethod = "my_halve"\n[gates]')
    result = own.run("compress", "tiny")
    own.assert_stopped(result, 2, "usage")
    assert "no TRAINS" in result.stderr


@pytest.mark.parametrize("body", ["raise KeyError('depth')", "raise SystemExit(0)", "return None"])
def test_a_data_set_that_breaks_is_named(own, body):
    name_data(own, "my_patterns")
    path = own.folder / "plugins/data_sets/my_patterns.py"
    path.write_text(path.read_text().replace('    """Return the pictures."""', f"    {body}"))
    result = own.deploy()
    own.assert_stopped(result, 2, "usage")
    assert "my_patterns.py" in result.stderr


@pytest.mark.parametrize("body", ["raise KeyError('depth')", "raise SystemExit(0)"])
def test_a_method_that_breaks_is_named(own, body):
    path = own.folder / "plugins/methods/my_halve.py"
    path.write_text(f"{path.read_text()}\n\ndef apply(draft, options, material):\n    {body}\n")
    own.edit_recipe("[gates]", '[[compress]]\nmethod = "my_halve"\nlayers = ["6"]\n[gates]')
    result = own.run("compress", "tiny")
    own.assert_stopped(result, 2, "usage")
    assert "my_halve.py" in result.stderr


def test_evaluation_samples_that_change_under_one_sha256_are_refused(own, monkeypatch):
    path = own.folder / "plugins/data_sets/my_patterns.py"
    name_data(own, "my_patterns")
    # As a set that draws its noise anew each time, which the cache cannot see: its code and its sha256 are the same.
    noisy = 'import os\n_EXTRA = float(os.environ.get("EXTRA", "0"))\n' + path.read_text()
    path.write_text(noisy.replace("scale=0.8", "scale=0.8 + _EXTRA"))
    own.assert_passed(own.deploy())
    own.edit_recipe("metric_drop_max = 0.05", "metric_drop_max = 0.06")
    monkeypatch.setenv("EXTRA", "0.3")
    result = own.deploy()
    own.assert_stopped(result, 2, "usage")
    assert "differ from one reading to the next" in result.stderr
