"""Metrics and decoders that are one function of a file: what it may return, and what the file says beside it."""

import sys

import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure import decoders, members, metrics
from toolchain.agent.measure.targets import Ragged

METRIC = """
import numpy as np
TARGETS = ("values",)
def close(outputs, targets):
    return np.abs(outputs["first"] - targets["values"])[:, 0] <= 1
"""
DECODER = """
OUTPUTS = ("sum",)
READS = ("first",)
def total(outputs, inputs):
    return {"sum": outputs["first"].sum(axis=1)}
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that finds the member of a text."""

    def find(package, name, text):
        monkeypatch.setattr(members, "_files", {})
        monkeypatch.delitem(sys.modules, f"{package.__name__}.{name}", raising=False)
        path = tmp_path / f"{package.__name__.rpartition('.')[2]}.py"
        path.write_text(text)
        members.register_member(package, name, path)
        return metrics.find_metric(name) if package is metrics else decoders.find_decoder(name, {})

    return find


def measure(metric, found=(0.0, 0.5, 3.0)):
    tally = metric.start()
    values = {"values": np.zeros((len(found), 1))}
    tally.add({"first": np.array(found)[:, None], "second": np.zeros(len(found))}, values)
    return tally


def refuse(call):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert caught.value.fix
    return caught.value


def test_the_mean_over_samples_is_the_metric_and_it_can_be_resampled(load):
    tally = measure(load(metrics, "close", METRIC))
    assert tally.compute() == pytest.approx(2 / 3)
    assert tally.compute(np.array([0, 0, 3])) == 0.0
    assert tally.can_resample


def test_the_file_says_its_unit_and_what_it_reads(load):
    text = (
        METRIC.replace(" <= 1", "")
        + 'from ..scale import Scale\nSCALE = Scale("px", 9.0, 0.0)\nOUTPUTS = ("second",)\n'
    )
    metric = load(metrics, "close", text)
    assert (metric.SCALE.unit, metrics.list_read_outputs(metric, ["first", "second"])) == ("px", ["second"])
    assert measure(metric).compute() == pytest.approx(3.5 / 3)


def test_a_class_may_define_what_a_file_does(load):
    text = (
        "import numpy as np\nfrom ..scale import FRACTION\nfrom ..tallies.ratio import Ratio\n"
        "class Tally(Ratio):\n    def add(self, outputs, targets):\n        self.add_samples(np.ones(3) / 2)\n"
        "class half:\n    SCALE, OUTPUTS, TARGETS = FRACTION, (), ('values',)\n    def start():\n        return Tally('half')\n"
    )
    assert measure(load(metrics, "half", text)).compute() == 0.5


@pytest.mark.parametrize(
    "value",
    [
        *(
            "0.5",
            "True",
            "'1.0'",
            "None",
            "np.float64(1)",
            "np.array(1.0)",
            "np.ones(2)",
            "np.ones((3, 1))",
            "[1, 1, 1]",
        ),
        *("np.array(['1', '1', '1'])", "np.array([1, 2, 3])", "np.full(3, np.inf)", "np.full(3, -0.1)"),
    ],
)
def test_what_is_no_value_of_each_sample_is_refused(load, value):
    metric = load(metrics, "close", METRIC + f"def close(outputs, targets):\n    return {value}\n")
    assert refuse(lambda: measure(metric)).code == ExitCode.USAGE


def test_nan_is_no_value_of_the_scale(load):
    metric = load(metrics, "close", METRIC + "def close(outputs, targets):\n    return np.array([1, 1, np.nan])\n")
    assert refuse(lambda: measure(metric).compute()).code == ExitCode.METRIC


@pytest.mark.parametrize("name", ["outputs['first']", "targets['values']"])
def test_it_cannot_change_what_others_read(load, name):
    metric = load(
        metrics, "close", METRIC + f"def close(outputs, targets):\n    {name}[:] = 1\n    return np.ones(3)\n"
    )
    assert refuse(lambda: measure(metric)).code == ExitCode.MALFORMED


@pytest.mark.parametrize(
    "text", [METRIC.replace("TARGETS", "_"), METRIC.replace("def close", "def other"), "close = 1\n"]
)
def test_a_file_without_what_is_needed_is_no_metric(load, text):
    assert refuse(lambda: load(metrics, "close", text)).code == ExitCode.USAGE


def test_a_function_decodes(load):
    decoder = load(decoders, "total", DECODER)
    assert decoder.list_read(["second", "first"]) == ["first"]
    assert decoder.decode({"first": np.ones((2, 3))}, {})["sum"].tolist() == [3.0, 3.0]
    assert load(decoders, "total", DECODER.replace("READS", "_")).list_read(["a", "b"]) == ["a", "b"]


def test_a_scalar_input_is_read_too(load):
    text = "import numpy as np\nOUTPUTS = ('half',)\ndef halve(outputs, inputs):\n    return {'half': outputs['first'] / inputs['rate']}\n"
    decoder = load(decoders, "halve", text)
    for rate in (np.float64(2), np.array(2.0), np.array([2.0])):
        made = decoder.decode({"first": np.ones(3)}, {"rate": rate})
        assert made["half"].tolist() == [0.5, 0.5, 0.5]


def test_a_decoder_cannot_change_rows(load):
    text = DECODER.replace("    return", "    outputs['first'].values[:] = 2\n    return")
    rows = Ragged(values=np.ones(2), offsets=np.array([0, 1, 2]))
    assert refuse(lambda: load(decoders, "total", text).decode({"first": rows}, {})).code == ExitCode.MALFORMED


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (DECODER.replace("OUTPUTS", "_"), ExitCode.USAGE),
        (DECODER.replace('{"sum": outputs["first"].sum(axis=1)}', '{"other": 1}'), ExitCode.MALFORMED),
        (DECODER.replace('{"sum": outputs["first"].sum(axis=1)}', "None"), ExitCode.MALFORMED),
        (DECODER.replace("return", "raise SystemExit(0)\n    return"), ExitCode.USAGE),
    ],
)
def test_a_function_that_makes_something_else_is_refused(load, text, code):
    assert refuse(lambda: load(decoders, "total", text).decode({"first": np.ones((2, 3))}, {})).code == code
