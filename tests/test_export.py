import logging
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import toolchain
from toolchain.errors import ExitCode, ToolchainError
from toolchain.export import check_export, export_onnx, run_pytorch

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


def test_nested_outputs_are_flattened_in_their_order(tmp_path):
    model = Wrap(lambda x: {"z": x * 2, "a": (x + 1, [x.sum((2, 3))])})
    exported = export(model, tmp_path)
    assert [value.name for value in exported.graph.output] == ["output_0", "output_1", "output_2"]
    outputs = run_pytorch(model, {"input": IMAGES})
    assert np.array_equal(outputs["output_0"], IMAGES * 2)
    assert outputs["output_2"].shape == (3, 2)
    check_export(tmp_path / "model.onnx", model, [{"input": IMAGES}])


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
from toolchain.export import export_onnx
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


def test_a_module_that_bakes_in_the_batch_size_is_refused(tmp_path):
    error = refuse(ExitCode.USAGE, export, Wrap(lambda x: x * int(x.shape[0])), tmp_path)
    assert "one batch size" in error.what
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize(
    ("result", "place"),
    [
        (lambda x: (x, 5), "output[1]"),
        (lambda x: {"a": x, "b": None}, "output['b']"),
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
