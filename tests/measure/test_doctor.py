import io
import json
from importlib import metadata

import pytest

import toolchain.data
from toolchain.agent.measure import facts
from toolchain.errors import ExitCode, ToolchainError, missing, usage
from toolchain.measure import doctor


@pytest.fixture(autouse=True)
def datasets(monkeypatch):
    """Three data sets in place of the real ones: one that is there, one that is not, one with an option."""
    problems = {
        "here": None,
        "gone": missing("gone is not on this machine", where="/gone", fix="download it"),
        "yours": usage("yours needs an option", where="data.options", expected="folder"),
    }

    def load(name, options):
        if problems[name] is not None:
            raise problems[name]

    monkeypatch.setattr(doctor, "list_members", lambda seam: dict.fromkeys(problems))
    monkeypatch.setattr(toolchain.data, "load_dataset", load)


def find(findings, name):
    return next(finding for finding in findings["needed"] if finding["name"] == name)


def print_to_text(findings):
    stream = io.StringIO()
    doctor.print_findings(findings, stream=stream)
    return stream.getvalue()


def test_the_toolchains_own_version_comes_first():
    findings = doctor.examine_machine()
    assert findings["toolchain"] == metadata.version("edge-toolchain")
    assert print_to_text(findings).splitlines()[0].split() == ["toolchain", findings["toolchain"]]


def test_what_is_installed_is_ok_and_developers_tools_are_not_asked_for():
    findings = doctor.examine_machine()
    assert find(findings, "onnx")["found"] == metadata.version("onnx")
    assert find(findings, "onnx")["ok"]
    assert "ruff" not in {finding["name"] for finding in findings["needed"]}
    assert findings["runtimes"]["onnxruntime"]["facts"]["arch"]
    json.dumps(findings, allow_nan=False)


def test_an_extra_is_listed_and_never_needed(monkeypatch):
    texts = ["onnx>=1", "not-a-package>=1.7; extra == 'rtx'", "onnx>=1; extra == 'labgrid'", "ruff; extra == 'dev'"]
    monkeypatch.setattr(metadata, "requires", lambda _name: texts)
    findings = doctor.examine_machine()
    (finding,) = findings["extras"]["rtx"]
    assert not finding["ok"]
    assert finding["fix"] == "python -m pip install 'edge-toolchain[rtx]'"
    assert findings["extras"]["labgrid"][0]["ok"]
    assert [finding["name"] for finding in findings["needed"]] == ["onnx"]
    assert "extra rtx: not-a-package>=1.7" in print_to_text(findings)


@pytest.mark.parametrize("version", [None, "0.1"])
def test_what_is_missing_or_too_old_says_how_to_get_it(monkeypatch, version):
    find_version = metadata.version

    def fake_version(name):
        if name != "onnx":
            return find_version(name)
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, "version", fake_version)
    findings = doctor.examine_machine()
    finding = find(findings, "onnx")
    assert (finding["ok"], finding["found"]) == (False, version)
    assert finding["fix"].startswith("python -m pip install 'onnx>=")
    assert f"MISSING  fix: {finding['fix']}\n" in print_to_text(findings)


def test_a_missing_runtime_does_not_hide_the_rest(monkeypatch):
    def fail(name):
        raise ToolchainError(ExitCode.MISSING, "the runtime cannot be loaded", fix="install it")

    monkeypatch.setattr(doctor, "read_facts", fail)
    findings = doctor.examine_machine()
    assert findings["runtimes"]["onnxruntime"] == {"ok": False, "facts": None, "fix": "install it"}
    assert findings["needed"]
    assert "MISSING  fix: install it" in print_to_text(findings)


def test_data_sets_are_there_or_missing_or_ask_for_an_option():
    findings = doctor.examine_machine()
    assert findings["datasets"] == {
        "here": {"ok": True, "needs": None, "fix": None},
        "gone": {"ok": False, "needs": None, "fix": "download it"},
        "yours": {"ok": True, "needs": "data.options.folder", "fix": None},
    }
    lines = [" ".join(line.split()) for line in print_to_text(findings).splitlines()]
    assert "data set here ok" in lines
    assert "data set gone MISSING fix: download it" in lines
    assert "data set yours ok set data.options.folder" in lines


def test_the_facts_of_the_board_are_shown():
    text = print_to_text(doctor.examine_machine())
    assert facts.read_facts("onnxruntime").cpu in text
