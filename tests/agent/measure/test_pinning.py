"""Pinned threads are where they were asked to be, by what the kernel says, or nothing is opened."""

import os

import numpy as np
import pytest

from tests.one_cpu import one_cpu  # noqa: F401 - a fixture
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure import pinning
from toolchain.agent.measure.pinning import check_pinned, choose_cpus, list_threads
from toolchain.agent.measure.runtimes import onnxruntime
from toolchain.agent.measure.session import open_session

needs_two = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two threads are pinned to two CPUs")
NOWHERE = 1000  # a CPU that no machine of a test has


def refuse(call):
    with pytest.raises(ToolchainError) as caught:
        call()
    error = caught.value
    assert (error.code, error.what) == (ExitCode.INCOMPATIBLE, "the threads of a payload cannot be pinned here")
    assert "pinning" in error.fix
    return error


@pytest.mark.parametrize(
    ("allowed", "threads", "cpus"), [({0, 1}, 2, [1]), ({0, 2, 5, 7}, 3, [5, 7]), ({3, 9}, 1, []), ({4, 6}, 2, [6])]
)
def test_each_thread_but_the_callers_gets_a_cpu_that_the_process_may_use(monkeypatch, allowed, threads, cpus):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: allowed)
    assert choose_cpus(threads, "model.onnx") == cpus


@pytest.mark.parametrize(("allowed", "threads"), [({0}, 2), ({5}, 2), ({0, 1, 2}, 4)])
def test_fewer_cpus_than_threads_are_refused_with_both(monkeypatch, allowed, threads):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: allowed)
    error = refuse(lambda: choose_cpus(threads, "model.onnx"))
    assert error.expected.startswith(f"{threads} CPUs")
    assert error.found == f"{len(allowed)}: {', '.join(map(str, sorted(allowed)))}"


def test_a_system_without_affinities_pins_nothing(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    refuse(lambda: choose_cpus(2, "model.onnx"))


@needs_two
def test_the_kernel_has_the_threads_where_the_session_says_and_the_answers_are_the_same(write_model, samples):
    path, before = write_model("float32"), list_threads()
    session = open_session("onnxruntime", path, 2, pins_threads=True)
    cpus = choose_cpus(2, str(path))
    check_pinned(cpus, before, str(path))
    inputs, outputs, _ = samples
    np.testing.assert_allclose(session.run({"input": inputs})["logits"], outputs, rtol=1e-5)
    free = list_threads()
    kept = open_session("onnxruntime", path, 2)
    assert kept.inputs == session.inputs
    started = [pinning._read_cpus(thread) for thread in list_threads() - free]
    assert str(cpus[0]) not in started  # nothing that was not asked for


@needs_two
def test_what_the_runtime_did_not_do_and_did_not_tell_is_refused(write_model, monkeypatch, capfd):
    monkeypatch.setattr(pinning, "_APPEAR_NS", 200_000_000)
    monkeypatch.setattr(onnxruntime, "choose_cpus", lambda *_: [NOWHERE])
    error = refuse(lambda: open_session("onnxruntime", write_model("float32"), 2, pins_threads=True))
    assert error.expected == f"a thread on each of the CPUs {NOWHERE} alone"
    assert error.found not in ("", str(NOWHERE))
    capfd.readouterr()  # ONNX Runtime's line, which no log level keeps back


def test_threads_that_were_there_before_are_none_of_the_runtimes(monkeypatch):
    monkeypatch.setattr(pinning, "_APPEAR_NS", 0)
    assert refuse(lambda: check_pinned([0], list_threads(), "model.onnx")).found == "no thread of its own"


@needs_two
@pytest.mark.usefixtures("one_cpu")
def test_a_process_that_may_use_one_cpu_opens_no_two_pinned_threads(write_model):
    path = write_model("float32")
    assert refuse(lambda: open_session("onnxruntime", path, 2, pins_threads=True)).found.startswith("1: ")
    assert open_session("onnxruntime", path, 2).inputs  # unpinned is another candidate


def test_a_way_that_a_runtime_cannot_pin_is_refused_and_not_opened_otherwise(write_model):
    path = write_model("float32")
    error = refuse(lambda: open_session("onnxruntime", path, 1, pins_threads=True))
    assert error.found == "onnxruntime, 1"
