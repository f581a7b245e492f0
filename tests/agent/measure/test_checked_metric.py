"""What a metric that somebody else wrote may not do: each is an error that says so, and no value."""

import sys

import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure import members, metrics

GOOD = """
import numpy as np
from ..scale import Scale
SCALE = Scale(unit="px", worst=float("inf"), best=0.0)
OUTPUTS = ("points",)
TARGETS = ("points",)
class Tally:
    def add(self, outputs, targets):
        self.error = float(np.abs(outputs["points"] - targets["points"]).mean())
    def compute(self):
        return self.error
start = Tally
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that finds the metric of a text."""

    def find(old, new):
        assert old in GOOD
        monkeypatch.setattr(members, "_files", {})
        monkeypatch.delitem(sys.modules, f"{metrics.__name__}.own", raising=False)
        path = tmp_path / "own.py"
        path.write_text(GOOD.replace(old, new))
        members.register_member(metrics, "own", path)
        return metrics.find_metric("own")

    return find


def measure(metric, outputs="points"):
    tally = metric.start()
    tally.add({outputs: np.ones((4, 2), np.float32)}, {"points": np.zeros((4, 2), np.float32)})
    return tally.compute()


def refuse(call):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert caught.value.fix
    return caught.value.code


@pytest.mark.parametrize("value", ["self.error", "np.float32(self.error)", "int(self.error)"])
def test_a_number_of_its_scale_is_its_value(load, value):
    found = measure(load("return self.error", f"return {value}"))
    assert (found, type(found)) == (1.0, float)


@pytest.mark.parametrize(
    "value", ["float('nan')", "float('inf')", "-1.0", "None", "'0.5'", "True", "np.ones(1)", "np.float32('nan')"]
)
def test_anything_else_is_none(load, value):
    metric = load("return self.error", f"return {value}")
    assert refuse(lambda: measure(metric)) == ExitCode.METRIC


def test_a_metric_that_breaks_is_an_error_and_no_traceback(load):
    metric = load("return self.error", "return 1 / 0")
    assert refuse(lambda: measure(metric)) == ExitCode.MALFORMED
    assert refuse(lambda: measure(load("x", "x"), outputs="scores")) == ExitCode.MALFORMED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # A text instead of a tuple: every output whose name is a part of it would be judged by the metric alone.
        ('OUTPUTS = ("points",)', 'OUTPUTS = ("points")'),
        ('TARGETS = ("points",)', 'TARGETS = ["points"]'),
        ('Scale(unit="px", worst=float("inf"), best=0.0)', '("px", 1.0, 0.0)'),
        ('worst=float("inf")', "worst=0.0"),
        ('worst=float("inf")', 'worst=float("nan")'),
        ("import numpy as np", "from ._neighbour import nothing"),
    ],
)
def test_a_metric_of_another_form_is_refused(load, old, new):
    assert refuse(lambda: load(old, new)) == ExitCode.USAGE
