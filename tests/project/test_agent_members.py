import sys

import pytest

from toolchain.agent.measure import members as agent_members
from toolchain.agent.measure import metrics
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project import members
from toolchain.project.agent_members import list_arguments, use_argument, use_member
from toolchain.project.seams import METRICS

TEXT = "import numpy as np\nTARGETS = ('labels',)\ndef half(outputs, targets):\n    return np.ones(2) / 2\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder of a recipe with a metric beside it; what is named is forgotten afterwards."""
    monkeypatch.setattr(agent_members, "_files", {})
    monkeypatch.setattr(members, "_named", {})
    (tmp_path / "own.py").write_text(TEXT)
    yield tmp_path
    sys.modules.pop(f"{metrics.__name__}.half", None)


def refuse(call):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)
    return f"{caught.value.what} {caught.value.where} {caught.value.expected} {caught.value.found}"


def test_a_file_and_a_name_are_the_metric_of_that_name(folder):
    member = use_member(METRICS, "own.py:half", folder=folder)
    assert (member.name, member.path) == ("half", folder / "own.py")
    assert use_member(METRICS, "half") == member
    assert metrics.find_metric("half").TARGETS == ("labels",)
    assert list_arguments([(METRICS, "half")]) == ["--member", f"metrics:half={folder / 'own.py'}"]


def test_a_command_line_names_it_too(folder):
    use_argument(f"metrics:half={folder / 'own.py'}")
    assert metrics.find_metric("half").TARGETS == ("labels",)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("other.py:half", "no such file"),
        ("own.py:quarter", "a function or a class quarter"),
        ("own.txt:half", "FILE.py:NAME"),
        ("own.py:", "FILE.py:NAME"),
        ("own.py:half.x", "FILE.py:NAME"),
        (":half", "FILE.py:NAME"),
    ],
)
def test_what_is_no_file_or_not_in_it_is_refused(folder, reference, words):
    assert words in refuse(lambda: use_member(METRICS, reference, where="task.metric", folder=folder))


def test_nobody_takes_the_name_of_ours_or_of_another_file(folder):
    (folder / "own.py").write_text(TEXT.replace("half", "top1"))
    assert "two metrics are called top1" in refuse(lambda: use_member(METRICS, "own.py:top1", folder=folder))
    members._named.clear()
    for name in ("own.py", "other.py"):
        (folder / name).write_text(TEXT)
    use_member(METRICS, "own.py:half", folder=folder)
    assert "two metrics are called half" in refuse(lambda: use_member(METRICS, "other.py:half", folder=folder))


@pytest.mark.parametrize(
    "text", ["", "metrics", "metrics:half", "metrics:=own.py", "tasks:half=own.py", "metrics:half="]
)
def test_an_argument_that_names_no_member_is_refused(folder, text):
    assert "KIND:NAME=FILE.py" in refuse(lambda: use_argument(text))
