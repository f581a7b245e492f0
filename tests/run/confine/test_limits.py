import os

import pytest

from toolchain.run.confine import limits
from toolchain.run.confine.limits import Limits, measure_files, read_machine_bytes

MB = 2**20


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr(limits, "read_machine_bytes", lambda: 64 * 2**30)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


def test_a_small_model_gets_less_than_a_gibibyte_and_few_seconds_whatever_it_declares():
    small = Limits(model_bytes=700, sample_bytes=3 * 32 * 32 * 4)
    assert small.memory_limit_bytes < 700 * MB
    assert small.step_limit_s < 5


def test_a_large_model_and_large_samples_get_more():
    large = Limits(model_bytes=100 * MB, sample_bytes=3 * 640 * 640 * 4)
    assert large.memory_limit_bytes > 10 * 2**30
    assert large.step_limit_s > 40


def test_nobody_gets_more_than_a_share_of_the_machine(monkeypatch):
    monkeypatch.setattr(limits, "read_machine_bytes", lambda: 8 * 2**30)
    assert Limits(model_bytes=2**31).memory_limit_bytes == 6 * 2**30


def test_what_was_asked_for_is_what_holds():
    asked = Limits(model_bytes=2**30, sample_bytes=2**30, memory_mb=5, step_s=0.5, total_s=7.0)
    assert asked.grow(model_bytes=1).memory_limit_bytes == 5 * MB
    assert asked.step_limit_s == 0.5
    assert asked.total_limit_s == 7


def test_external_data_adds_up_and_samples_do_not():
    grown = Limits(model_bytes=1, sample_bytes=5).grow(model_bytes=2, sample_bytes=3).grow(sample_bytes=9)
    assert (grown.model_bytes, grown.sample_bytes) == (3, 9)


def test_a_hole_is_no_size_of_a_model(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**31)
    (tmp_path / "full").write_bytes(os.urandom(100_000))
    os.mkfifo(tmp_path / "pipe")
    assert measure_files([tmp_path / "sparse"]) < MB
    assert measure_files(tmp_path / name for name in ("full", "pipe", "none", ".")) == 100_000


def test_the_memory_of_this_machine_is_known():
    assert read_machine_bytes() > 2**28
