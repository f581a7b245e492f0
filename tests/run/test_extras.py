import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from toolchain.errors import ExitCode, ToolchainError
from toolchain.run.extras import BUILD, EXTRAS, find_extra, list_missing, require_build, write_install

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
# Which nothing here is installed from, or not on every machine.
NOT_HERE = {"cuda": "cuda-python", "tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt-rtx-cu13"}


def list_named(extra):
    return {canonicalize_name(Requirement(text).name) for text in PROJECT["optional-dependencies"][extra]}


def test_the_modules_of_an_extra_are_those_of_its_distributions():
    known = packages_distributions()
    for extra, modules in EXTRAS.items():
        assert {canonicalize_name(NOT_HERE.get(name) or known[name][0]) for name in modules} == list_named(extra)


def test_every_extra_but_the_developers_is_known():
    assert set(EXTRAS) == PROJECT["optional-dependencies"].keys() - {"dev"}


def test_what_makes_models_is_no_part_of_a_slim_install():
    slim = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    assert slim & list_named(BUILD) == set()
    assert {"torch", "matplotlib"} <= list_named(BUILD)


def test_a_module_leads_to_the_extra_that_brings_it():
    assert find_extra("torch.nn") == BUILD
    assert find_extra("openvino") == "openvino"
    assert find_extra("json") is None


def test_a_command_that_makes_models_goes_on_where_all_of_it_is_there():
    assert list_missing(BUILD) == []
    require_build("train")


def test_a_command_that_makes_models_is_refused_where_one_module_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(ToolchainError) as caught:
        require_build("train")
    error = caught.value
    assert (error.code, error.found) == (ExitCode.MISSING, "no torch_pruning")
    assert error.fix == write_install(BUILD) == "python -m pip install 'edge-toolchain[build]'"
