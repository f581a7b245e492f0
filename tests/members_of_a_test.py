"""A fixture of every test: the files that one test lets stand for a metric, a decoder or a runtime are in no other's lists."""

import sys

import pytest

from toolchain.agent.measure import members as agent_members
from toolchain.project import members as project_members


@pytest.fixture(autouse=True)
def members_of_a_test():
    """Forget what a test named. What a fixture of a module names stays, as its tests need it."""
    named, files = dict(project_members._named), dict(agent_members._files)
    yield
    for full in agent_members._files.keys() - files.keys():
        sys.modules.pop(full, None)
    for known, before in ((project_members._named, named), (agent_members._files, files)):
        if known != before:
            known.clear()
            known.update(before)
