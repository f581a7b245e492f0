"""A fixture: what runs has one CPU."""

import os

import pytest


@pytest.fixture
def one_cpu():
    """Leave this thread, and the processes that it starts, one of its CPUs, as taskset(1) or a cpuset does."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    yield max(before)
    os.sched_setaffinity(0, before)
