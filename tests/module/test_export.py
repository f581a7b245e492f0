import logging
import subprocess
import sys
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import toolchain
from toolchain.errors import ExitCode, ToolchainError
from toolchain.graph.session import HostSession
from toolchain.module.export import check_export, export_onnx
from toolchain.module.pytorch_run import run_pytorch

IMAGES = np.random.default_rng(0).standard_normal((3, 2, 6, 6), dtype=np.float32)


class Net(nn.Module):
    """A convolution with what behaves differently in training: BatchNorm and Dropout."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 5)

    def forward(self, image):
        return self.head(self.drop(torch.relu(self.norm(self.conv(image)))).mean((2, 3)))


class Wrap(nn.Module):
    """Puts a function where a user's forward would be."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


class Outer(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.blocks = nn.ModuleList([nn.ReLU(), inner])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


class Branch(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Svd(nn.Module):
    def forward(self, x):
        return torch.linalg.svd(x)[1]


def export(model, tmp_path, **example):
    path = tmp_path / "model.onnx"
    example = example or {"input": IMAGES}
    export_onnx(model, example, path)
    return onnx.load(path)


def refuse(code, function, *arguments):
    with pytest.raises(ToolchainError) as caught:
        function(*arguments)
    assert caught.value.code == code
    return caught.value


def test_an_export_computes_what_pytorch_computes_for_any_batch_size(tmp_path):
    torch.manual_seed(0)
    model = Net()
    exported = export(model, tmp_path)
    onnx.checker.check_model(exported, full_check=True)
    batches = [{"input": IMAGES}, {"input": IMAGES[:1]}]
    sqnr_db = check_export(tmp_path / "model.onnx", model, batches)
    assert list(sqnr_db) == ["output"]
    assert sqnr_db["output"] > 110


def test_inputs_are_named_by_the_example_and_bound_by_position(tmp_path):
    model = Wrap(lambda a, b: a - 2 * b)
    exported = export(model, tmp_path, image=IMAGES, reference=IMAGES + 1)
    assert [value.name for value in exported.graph.input] == ["image", "reference"]
    assert [value.type.tensor_type.shape.dim[0].dim_param for value in exported.graph.input] == ["batch", "batch"]
    check_export(tmp_path / "model.onnx", model, [{"image": IMAGES, "reference": IMAGES * 3}])


class Named(NamedTuple):
    scores: torch.Tensor
    boxes: torch.Tensor


@dataclass
class Heads:
    main: torch.Tensor
    auxiliary: torch.Tensor | None = None


OUTPUTS = {
    "a tensor": (lambda x: x * 2, ["output"]),
    "a tuple": (lambda x: (x * 2, x + 1), ["output_0", "output_1"]),
    "nested tuples": (lambda x: ((x * 2, x + 1), [x - 1]), ["output_0", "output_1", "output_2"]),
    "a tuple of one": (lambda x: (x * 2,), ["output"]),
    "a dict": (lambda x: {"z": x * 2, "a": x + 1}, ["z", "a"]),
    "a dict of one": (lambda x: {"mask": x * 2}, ["mask"]),
    "an ordered dict": (lambda x: OrderedDict(z=x * 2, a=x + 1), ["z", "a"]),
    "numbered keys": (lambda x: {3: x * 2, 1: x + 1}, ["output_0", "output_1"]),
    "a nested dict": (lambda x: {"z": x * 2, "a": (x + 1, [x[:, 0]])}, ["z", "a_0", "a_1_0"]),
    "a dict in a tuple": (lambda x: ({"z": x * 2}, x + 1), ["output_0_z", "output_1"]),
    "a named tuple": (lambda x: Named(scores=x * 2, boxes=x + 1), ["scores", "boxes"]),
    "a dataclass": (lambda x: Heads(main=x * 2, auxiliary=x + 1), ["main", "auxiliary"]),
    "a head for training only": (lambda x: Heads(main=x * 2), ["main"]),
    "a dict with None": (lambda x: {"aux": None, "out": x * 2}, ["out"]),
    "names of inner values": (
        lambda x: {"mul": x + 2, "add": x * 2, "relu": torch.relu(x * 2)},
        ["mul", "add", "relu"],
    ),
    "one tensor twice": (lambda x: dict.fromkeys(("a", "b"), x * 2), ["a", "b"]),
    "the input": (lambda x: {"same": x, "double": x * 2}, ["same", "double"]),
    "a name of many kinds": (lambda x: {"a/b c": x * 2, "é": x + 1}, ["a/b c", "é"]),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_outputs_are_named_by_their_keys_and_fields_in_their_order(tmp_path, kind):
    function, names = OUTPUTS[kind]
    model = Wrap(function)
    exported = export(model, tmp_path)
    assert [value.name for value in exported.graph.output] == names
    assert list(run_pytorch(model, {"input": IMAGES})) == names
    onnx.checker.check_model(exported, full_check=True)
    assert min(check_export(tmp_path / "model.onnx", model, [{"input": IMAGES}]).values()) == 200.0


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (lambda x: {"a_0": x, "a": (x * 2,)}, "'a_0' twice"),
        (lambda x: {"input": x * 2, "b": x}, "'input'"),
        (lambda x: {"": x * 2}, "''"),
        (lambda _: (), "()"),
    ],
)
def test_names_that_a_graph_cannot_have_are_refused(tmp_path, function, found):
    assert refuse(ExitCode.USAGE, export, Wrap(function), tmp_path).found == found


@pytest.mark.parametrize(
    "function", [lambda x: x.sum(), lambda x: (x, torch.ones(7, 4)), lambda x: {"a": x.transpose(0, 1)}]
)
def test_an_output_without_an_axis_of_samples_is_refused(tmp_path, function):
    error = refuse(ExitCode.USAGE, export, Wrap(function), tmp_path)
    assert "no axis of samples" in error.what


class Named2(nn.Module):
    def forward(self, a, b=None, *, scale=None):
        a = a * 2 if b is None else a - 2 * b
        return a if scale is None else a * scale


@pytest.mark.parametrize("names", [["a", "b"], ["b", "a"], ["a"], ["scale", "a"], ["b", "scale", "a"]])
def test_inputs_are_matched_with_the_parameters_of_forward_by_name(tmp_path, names):
    example = {name: IMAGES + index for index, name in enumerate(names)}
    exported = export(Named2(), tmp_path, **example)
    assert [value.name for value in exported.graph.input] == sorted(names)
    expected = Named2()(**{name: torch.tensor(array) for name, array in example.items()}).numpy()
    (output,) = HostSession(tmp_path / "model.onnx").run(example).values()
    assert np.array_equal(output, expected)
    check_export(tmp_path / "model.onnx", Named2(), [example])


def test_one_input_is_taken_whatever_its_name(tmp_path):
    assert [value.name for value in export(Named2(), tmp_path, image=IMAGES).graph.input] == ["image"]


@pytest.mark.parametrize("names", [["x", "y"], ["a", "y"], ["b"], ["a", "b", "c"]])
def test_inputs_that_forward_does_not_have_are_refused_and_never_matched_by_position(tmp_path, names):
    error = refuse(ExitCode.USAGE, export_onnx, Named2(), dict.fromkeys(names, IMAGES), tmp_path / "model.onnx")
    assert "forward(a, b=None, *, scale=None)" in error.where
    assert error.found == ", ".join(names)
    assert "array" in error.fix


@pytest.mark.parametrize("end", [SystemExit(0), RuntimeError("no"), ImportError("no module")])
def test_whatever_a_forward_raises_is_a_usage_error(tmp_path, end):
    def forward(_):
        raise end

    assert "fails on its input" in refuse(ExitCode.USAGE, export, Wrap(forward), tmp_path).what


def test_what_a_module_prints_is_not_on_stdout(capsys):
    def forward(x):
        print("hello")  # noqa: T201 - as users do
        return x

    run_pytorch(Wrap(forward), {"input": IMAGES})
    assert capsys.readouterr() == ("", "hello\n")


def test_equal_infinities_are_carried_through(tmp_path):
    def forward(x):
        return torch.where(x > 0, x, -torch.inf), torch.where(x > 0, torch.inf, x)

    export(Wrap(forward), tmp_path)
    assert np.isinf(run_pytorch(Wrap(forward), {"input": IMAGES})["output_0"]).any()


def test_names_that_inner_values_have_do_not_break_the_file(tmp_path):
    # The exporter calls its values after the operators: relu, relu_1, …
    model = Wrap(lambda x, y: (torch.relu(torch.relu(x) - 1), torch.relu(y)))
    exported = export(model, tmp_path, relu=IMAGES, relu_1=IMAGES)
    onnx.checker.check_model(exported, full_check=True)
    assert [value.name for value in exported.graph.input] == ["relu", "relu_1"]
    check_export(tmp_path / "model.onnx", model, [{"relu": IMAGES, "relu_1": -IMAGES}])


def test_an_input_or_a_repeated_value_can_be_an_output(tmp_path):
    def forward(x):
        doubled = x * 2
        return doubled, doubled, x

    model = Wrap(forward)
    export(model, tmp_path)
    assert set(check_export(tmp_path / "model.onnx", model, [{"input": IMAGES}]).values()) == {200.0}


def test_an_unread_input_stays(tmp_path):
    exported = export(Wrap(lambda x, _: x * 2), tmp_path, image=IMAGES, unread=IMAGES)
    assert [value.name for value in exported.graph.input] == ["image", "unread"]


def test_training_flags_are_restored_one_by_one_and_evaluation_is_exported(tmp_path):
    model = Net()
    model.train()
    model.norm.eval()
    exported = export(model, tmp_path)
    assert [module.training for module in (model, model.norm, model.drop)] == [True, False, True]
    assert not {"Dropout", "BatchNormalization"} & {node.op_type for node in exported.graph.node}
    check_export(tmp_path / "model.onnx", model, [{"input": IMAGES}])


def test_the_model_and_the_batch_are_not_changed(tmp_path):
    def forward(x):
        x[:, 0] = 0
        return x * 1

    images = IMAGES.copy()
    model = Wrap(forward)
    export(model, tmp_path, input=images)
    check_export(tmp_path / "model.onnx", model, [{"input": images}])
    assert np.array_equal(images, IMAGES)


SCRIPT = """
import sys, torch, numpy as np
from pathlib import Path
from torch import nn
from toolchain.module.export import export_onnx
torch.manual_seed(0)
model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
export_onnx(model, {"input": np.ones((1, 2, 6, 6), dtype=np.float32)}, Path(sys.argv[1]))
"""


def test_another_process_exports_the_same_bytes_in_silence_and_leaves_no_trace_of_the_machine(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {"PYTHONPATH": str(Path(toolchain.__file__).parents[1]), "PYTHONHASHSEED": "1"}
    command = [sys.executable, script, tmp_path / "there.onnx"]
    run = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
    exec(SCRIPT.replace("sys.argv[1]", repr(str(tmp_path / "here.onnx"))), {})
    data = (tmp_path / "there.onnx").read_bytes()
    assert data == (tmp_path / "here.onnx").read_bytes()
    for trace in (b"site-packages", b"script", str(tmp_path).encode(), b"nn.modules", b"stack_trace"):
        assert trace not in data


def test_a_failed_export_names_the_module_that_branches_on_values(tmp_path, capfd):
    error = refuse(ExitCode.USAGE, export, Outer(Branch()), tmp_path)
    assert "blocks.1 (Branch)" in error.where
    assert "data-dependent" in error.found
    assert not (tmp_path / "model.onnx").exists()
    assert capfd.readouterr() == ("", "")
    assert "forward" in error.__notes__[0]


def test_a_failed_export_names_the_module_and_the_operator_that_onnx_lacks(tmp_path, capfd):
    error = refuse(ExitCode.USAGE, export, Outer(Svd()), tmp_path)
    assert "blocks.1 (Svd)" in error.where
    assert "_linalg_svd" in error.where
    assert capfd.readouterr() == ("", "")


def test_the_exporter_warns_nobody_and_leaves_its_loggers_as_they_were(tmp_path):
    logger = logging.getLogger("torch")
    before = (list(logger.handlers), logger.propagate)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # Two inputs: the exporter warns that they share the name of an axis.
        export(Wrap(lambda a, b: a - b), tmp_path, a=IMAGES, b=IMAGES)
        refuse(ExitCode.USAGE, export, Outer(Branch()), tmp_path)
    assert caught == []
    assert (list(logger.handlers), logger.propagate) == before


def test_a_module_in_bfloat16_is_told_to_be_float32(tmp_path):
    class Half(Net):
        def forward(self, image):
            return super().forward(image.bfloat16()).float()

    model, path = Half().bfloat16().eval(), tmp_path / "model.onnx"
    export_onnx(model, {"image": IMAGES}, path)
    error = refuse(ExitCode.USAGE, check_export, path, model, [{"image": IMAGES}])
    assert "bfloat16" in error.what
    assert "model.float()" in error.fix


@pytest.mark.parametrize("array", [np.array(["a", "b"]), np.ones((2, 3), dtype=np.dtype(np.float32).newbyteorder("S"))])
def test_an_array_that_pytorch_has_no_type_for_is_refused(array):
    error = refuse(ExitCode.USAGE, run_pytorch, nn.Identity(), {"input": array})
    assert error.found == str(array.dtype)


def test_a_module_that_bakes_in_the_batch_size_is_refused(tmp_path):
    error = refuse(ExitCode.USAGE, export, Wrap(lambda x: x * int(x.shape[0])), tmp_path)
    assert "one batch size" in error.what
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize(
    ("result", "place"),
    [
        (lambda x: (x, 5), "output[1]"),
        (lambda x: {"a": x, "b": "text"}, "output['b']"),
        (lambda _: None, "output"),
        (torch.fft.fft, "output"),
    ],
)
def test_an_output_that_is_no_real_tensor_is_refused_by_its_place(tmp_path, result, place):
    assert refuse(ExitCode.USAGE, export, Wrap(result), tmp_path).where == place


def test_a_bfloat16_output_is_refused(tmp_path):
    assert "bfloat16" in refuse(ExitCode.USAGE, export, Wrap(lambda x: x.bfloat16()), tmp_path).found


def test_a_forward_that_takes_other_inputs_is_refused(tmp_path):
    error = refuse(ExitCode.USAGE, export_onnx, Net(), {"a": IMAGES, "b": IMAGES}, tmp_path / "model.onnx")
    assert "a, b" in error.found


def test_samples_of_the_wrong_shape_are_refused(tmp_path):
    error = refuse(ExitCode.USAGE, run_pytorch, Net(), {"input": IMAGES[:, :1]})
    assert "float32(3, 1, 6, 6)" in error.where
    assert "channels" in error.found


def test_a_model_whose_output_is_nan_fails_the_check(tmp_path):
    model = Wrap(lambda x: torch.log(x - 100))
    export(model, tmp_path)
    error = refuse(ExitCode.PARITY, check_export, tmp_path / "model.onnx", model, [{"input": IMAGES}])
    assert "not a number" in error.what
    assert "216 of 216" in error.found


def test_a_file_that_computes_something_else_fails_the_check(tmp_path):
    export(Wrap(lambda x: x * 1.001), tmp_path)
    error = refuse(ExitCode.PARITY, check_export, tmp_path / "model.onnx", Wrap(lambda x: x * 1.0), [{"input": IMAGES}])
    assert error.where == "output output"
    assert error.expected == "an SQNR of at least 80.0 dB"
    assert error.found == "60.0 dB"


def test_a_file_with_other_outputs_fails_the_check(tmp_path):
    export(Wrap(lambda x: x * 2), tmp_path)
    model = Wrap(lambda x: (x * 2, x))
    refuse(ExitCode.PARITY, check_export, tmp_path / "model.onnx", model, [{"input": IMAGES}])


def test_a_check_without_samples_is_no_check(tmp_path):
    model = Wrap(lambda x: x * 2)
    export(model, tmp_path)
    refuse(ExitCode.USAGE, check_export, tmp_path / "model.onnx", model, [])
