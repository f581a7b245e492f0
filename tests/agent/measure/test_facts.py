import dataclasses

import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import Compatible
from toolchain.agent.measure.cpu import normalize_arch, parse_cpuinfo
from toolchain.agent.measure.facts import check_compatible, read_facts

X86 = """\
processor\t: 0
model name\t: AMD EPYC 9R14
flags\t\t: fpu avx2 avx512f avx512_vnni avx_vnni

processor\t: 1
model name\t: AMD EPYC 9R14
flags\t\t: fpu avx2 avx512f avx_vnni
"""
ARM = """\
processor\t: 0
BogoMIPS\t: 38.40
Features\t: fp asimd asimddp i8mm
CPU implementer\t: 0x41

Model\t\t: Raspberry Pi 5 Model B
"""


@pytest.fixture
def facts():
    return dataclasses.replace(
        read_facts("onnxruntime"),
        arch="aarch64",
        cpu_features=("asimd", "asimddp"),
        runtime_version="1.23.2",
        accelerator=None,
    )


def require(**changes):
    anything = Compatible(arch=None, accelerator=None, runtime_versions={}, cpu_features=())
    return dataclasses.replace(anything, **changes)


def test_features_are_those_that_every_core_has():
    assert parse_cpuinfo(X86, "x86_64") == ("AMD EPYC 9R14", ("avx2", "avx512f", "avx_vnni", "fpu"))


def test_an_arm_board_is_known_by_its_model_and_features():
    assert parse_cpuinfo(ARM, "aarch64") == ("Raspberry Pi 5 Model B", ("asimd", "asimddp", "fp", "i8mm"))


def test_an_emulated_board_does_not_take_the_features_of_its_host():
    assert parse_cpuinfo(X86, "aarch64") == ("", ())


def test_a_system_without_cpuinfo_has_no_known_features():
    assert parse_cpuinfo("", "x86_64") == ("", ())


def test_this_machine_has_facts():
    facts = read_facts("onnxruntime")
    assert facts.runtime == "onnxruntime"
    assert facts.runtime_version[0].isdigit()
    assert all([facts.arch, facts.cpu, facts.os, facts.python])


def test_architectures_of_other_systems_get_their_linux_names():
    assert [normalize_arch(name) for name in ("AMD64", "arm64", "aarch64")] == ["x86_64", "aarch64", "aarch64"]


@pytest.mark.parametrize(
    "compatible",
    [
        require(),
        require(arch="arm64"),
        require(runtime_versions={"onnxruntime": ">=1.23,<2", "openvino": ">=9999"}),
        require(cpu_features=("asimddp",)),
    ],
    ids=str,
)
def test_a_board_that_fits_is_accepted(compatible, facts):
    check_compatible(compatible, facts)


@pytest.mark.parametrize(
    ("compatible", "where", "found"),
    [
        (require(arch="x86_64"), "arch", "aarch64"),
        (require(accelerator="sm_87"), "accelerator", "none"),
        (require(runtime_versions={"onnxruntime": ">=1.24"}), "runtime_version", "1.23.2"),
        (require(cpu_features=("asimd", "i8mm", "sve")), "cpu_features", "no i8mm, sve"),
    ],
    ids=str,
)
def test_a_board_that_does_not_fit_is_refused_with_what_differs(compatible, where, found, facts):
    with pytest.raises(ToolchainError) as caught:
        check_compatible(compatible, facts)
    error = caught.value
    assert error.code == ExitCode.INCOMPATIBLE
    assert (error.where, error.found) == (where, found)
    assert error.expected
    assert error.fix


def test_an_unknown_runtime_is_a_usage_error():
    with pytest.raises(ToolchainError) as caught:
        read_facts("no_such_runtime")
    assert caught.value.code == ExitCode.USAGE
