import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from tests.compress.conftest import build_net, make_material, make_samples
from tests.compress.nets import (
    AttentionNet,
    build_branched,
    build_resnet8,
    build_small_mobilenet,
    build_transformer,
    enlarge,
)
from tests.compress.odd_nets import build_odd_net
from toolchain.compress import Draft, FinetuneSection, compress_draft
from toolchain.compress.quantization.range_markers import Grid, insert_learned_ranges
from toolchain.data import load_dataset
from toolchain.data.dataset import ImageSamples
from toolchain.errors import ExitCode, ToolchainError
from toolchain.graph.learned_ranges import read_ranges, restore_pairs, take_pairs
from toolchain.graph.view import GraphView
from toolchain.lower.int8 import lower_int8
from toolchain.lower.learned import find_learned
from toolchain.lower.moved_values import find_same_values
from toolchain.lower.qdq_plan import Scheme
from toolchain.lower.runtimes.onnxruntime import int8_policy, plan_int8
from toolchain.lower.tensorrt.policy import plan_int8 as plan_tensorrt
from toolchain.module.export import check_export, export_onnx, run_pytorch
from toolchain.module.structure import FixWeights, LearnedRange
from toolchain.module.weights import load_weights, save_weights
from toolchain.optimize import optimize
from toolchain.project.recipe import QuantizeSection

SCHEME = Scheme(activation_type="uint8", symmetric=False, weight_bits=8, reason="")


def list_ranges(draft):
    return {edit.node: (edit.low, edit.high) for edit in draft.edits if isinstance(edit, LearnedRange)}


def load_fresh(draft, build, path):
    """Return a new model of the builder with the draft's weights and ranges, as a later stage loads it."""
    save_weights(draft.model, path, {}, edits=draft.edits)
    model = build()
    return model.eval(), load_weights(model, path)


def export_optimized(draft, build, samples, folder):
    """Return the module as it is deployed, and the float graph with its learned ranges, as the stages make them."""
    plain, edits = load_fresh(draft, build, folder / "weights.safetensors")
    trained = insert_learned_ranges(plain, edits)
    path = folder / "model.onnx"
    export_onnx(trained, samples.batch(0, 1), path)
    exported = take_pairs(onnx.load(path), count=len(list_ranges(draft)), weight_bits=8)
    onnx.save(exported, path)
    check_export(path, plain, [samples.batch(0, 4)])
    return trained, optimize(exported, [samples.batch(0, 2)]).model


def lower(model, feeds, scheme=SCHEME):
    options = QuantizeSection(choose_by_measurement=False)
    return lower_int8(
        model,
        feeds,
        options=options,
        policy=int8_policy(scheme),
        sqnr_db_min=0.0,  # what an 8-bit weight loses on a CPU whose products saturate is not the question here
        threads=1,
        start_steps=lambda _name, _total: lambda: None,
    )


def run_int8(model, batch, *, fused):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.x64quantprecision", "1")  # no products that saturate, on any CPU
    if not fused:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, batch)[0]


def test_the_training_leaves_rounded_weights_and_a_range_for_every_tensor(compress):
    draft = compress(build_net(), method="qat", finetune={"epochs": 1})
    expected = {"x", "relu", "blocks_0_relu", "blocks_0_conv2", "blocks_0_relu_1", "mean"}
    assert expected <= list_ranges(draft).keys()
    assert {edit.module for edit in draft.edits if isinstance(edit, FixWeights)} >= {"stem", "head"}
    for channel in draft.model.stem.weight:
        steps = channel / channel.abs().max() * 127
        torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in draft.model.modules())


def train(material, net, folder, **finetune):
    """Return the draft of a net that was trained for int8, with a checkpoint of its own."""
    section = FinetuneSection(**{"epochs": 1, **finetune})
    draft = Draft(net)
    own = dataclasses.replace(material, finetune=section, folder=folder)
    compress_draft(draft, {"method": "qat", "finetune": section.model_dump()}, own)
    return draft


def test_the_ranges_move_while_they_are_learned(material, tmp_path):
    first = list_ranges(train(material, build_net(), tmp_path / "first", learning_rate=1e-9))
    learned = list_ranges(
        train(material, build_net(), tmp_path / "learned", epochs=2, batch_size=8, learning_rate=0.05)
    )
    assert max(abs(learned[node][1] - first[node][1]) for node in first) > 1e-3


def test_a_skipped_layer_keeps_float_weights(compress):
    draft = compress(build_net(), method="qat", skip=["head"], weight_bits=4, finetune={"epochs": 1})
    assert "head" not in draft.list_fixed()
    assert len(draft.model.head.weight[0].unique()) == 16
    assert all(len(channel.unique()) <= 16 for channel in draft.model.stem.weight)


def test_nothing_trains_what_was_trained_for_int8(compress, material):
    draft = compress(build_net(), method="qat", finetune={"epochs": 1})
    with pytest.raises(ToolchainError, match="quantized already"):
        compress_draft(draft, {"method": "magnitude_pruning", "amount": 0.5}, material)


def test_pruned_weights_stay_zero(compress, material):
    draft = compress(build_net(), method="magnitude_pruning", amount=0.5, scope="layer")
    entry = {"method": "qat", "finetune": {"epochs": 1}}
    compress_draft(draft, entry, dataclasses.replace(material, finetune=FinetuneSection(epochs=1)))
    assert (draft.model.stem.weight == 0).float().mean().item() >= 0.5


@pytest.mark.parametrize(
    ("net", "entry", "found"),
    [
        (nn.Sequential(nn.ReLU(), nn.Flatten()), {}, "no layer"),
        (AttentionNet(), {}, "attention.out_proj"),
        (build_net(), {"layers": ["nothing*"]}, "nothing*"),
        (build_net(), {"weight_bits": 9}, "weight_bits"),
    ],
)
def test_what_cannot_be_trained_for_int8_is_refused(compress, net, entry, found):
    with pytest.raises(ToolchainError) as caught:
        compress(net, method="qat", finetune={"epochs": 1}, **entry)
    assert caught.value.code is ExitCode.USAGE
    assert found in str(caught.value)


def test_without_an_end_to_its_training_it_is_refused(compress):
    with pytest.raises(ToolchainError, match="how long"):
        compress(build_net(), method="qat")


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(material):
    samples = make_samples()
    drawn = iter(range(100))

    def spoil(part):
        images = part.astype(np.float32) / 255
        # 64 pictures in steps of 16: the first epoch is good, then comes NaN.
        return images if len(part) != 16 or next(drawn) < 4 else images * np.nan

    spoiled = dataclasses.replace(
        material,
        load_training=lambda: dataclasses.replace(samples, transform=spoil),
        finetune=FinetuneSection(epochs=2, batch_size=16),
    )
    with pytest.raises(ToolchainError, match="diverged") as caught:
        compress_draft(Draft(build_net()), {"method": "qat", "finetune": {"epochs": 2, "batch_size": 16}}, spoiled)
    assert caught.value.code is ExitCode.METRIC
    assert (material.folder / "qat.pt").is_file()


def test_an_interrupted_training_ends_at_the_same_weights_and_ranges(compress, material, tmp_path):
    class StopError(Exception):
        pass

    def interrupt(progress):
        if progress.epoch == 2:
            raise StopError

    entry = {"method": "qat", "finetune": {"epochs": 3}}
    whole = dataclasses.replace(material, finetune=FinetuneSection(epochs=3), folder=tmp_path / "whole")
    parts = dataclasses.replace(whole, folder=tmp_path / "parts")
    expected, resumed = Draft(build_net()), Draft(build_net())
    compress_draft(expected, entry, whole)
    with pytest.raises(StopError):
        compress_draft(Draft(build_net()), entry, dataclasses.replace(parts, on_progress=interrupt))
    compress_draft(resumed, entry, parts)
    assert resumed.edits == expected.edits
    for name, tensor in expected.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_what_learns_no_range_is_said_by_name(compress):
    net = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 8, 3)),
        *(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)),
    )
    draft = compress(net.eval(), method="qat", finetune={"epochs": 1})
    assert len(draft.notes) == 1
    assert "inside of 1 (SiLU)" in draft.notes[0]
    assert list_ranges(draft).keys() == {"input_1", "_0", "_1", "_3", "_4"}


def test_a_layer_that_int8_leaves_alone_keeps_its_weight_and_is_said_by_name_and_share(material):
    """The other one of its weight is to stay in float: stored in both forms, it would be larger."""
    draft, finetune = Draft(build_odd_net("tied_weight")), FinetuneSection(epochs=1)
    fed = dataclasses.replace(material, finetune=finetune)
    reach = compress_draft(draft, {"method": "qat", "skip": ["two"], "finetune": finetune.model_dump()}, fed)
    assert draft.list_fixed() == ["stem", "head"]
    assert [(own.name, own.kind) for own in reach.unreached] == [("one.weight", "Linear")]
    assert reach.unreached[0].share == pytest.approx(256 / (432 + 256 + 32))


@dataclasses.dataclass(frozen=True)
class Exported:
    """A model that was trained for int8, as the stages hand it to the lowering."""

    samples: ImageSamples
    ranges: dict
    trained: nn.Module
    model: onnx.ModelProto


NETS = [build_net, build_small_mobilenet, build_branched, build_transformer]


@pytest.fixture(scope="module", params=NETS)
def exported(request, tmp_path_factory):
    folder, build = tmp_path_factory.mktemp("exported"), request.param
    samples = enlarge(make_samples(), 4) if build is build_small_mobilenet else make_samples()
    finetune = FinetuneSection(epochs=1, learning_rate=1e-3)
    fed = dataclasses.replace(make_material(folder), calibration=samples, load_training=lambda: samples)
    draft = Draft(build())
    entry = {"method": "qat", "finetune": finetune.model_dump()}
    compress_draft(draft, entry, dataclasses.replace(fed, finetune=finetune))
    assert not draft.notes
    return Exported(samples, list_ranges(draft), *export_optimized(draft, build, samples, folder))


def test_every_tensor_of_the_policy_has_learned_its_range(exported):
    samples, learned = exported.samples, read_ranges(exported.model)
    tensors = plan_int8(exported.model).tensors
    assert find_learned(exported.model, tensors, learned).keys() == set(tensors)
    assert learned.tensors.keys() <= set(tensors)
    restored = run_int8(restore_pairs(exported.model, learned), samples.batch(0, 16), fused=False)
    expected = run_pytorch(exported.trained, samples.batch(0, 16))["output"]
    step = (expected.max() - expected.min()) / 50
    np.testing.assert_allclose(restored, expected, atol=step)


def test_the_pairs_that_are_written_are_those_that_were_trained(exported):
    """Each range that was learned is a pair of the payload, and no pair has another."""
    payload = lower(exported.model, [exported.samples.batch(index, index + 1) for index in range(8)]).model
    constants = {
        tensor.name: numpy_helper.to_array(tensor).item() for tensor in payload.graph.initializer if not tensor.dims
    }
    view, learned = GraphView.from_model(exported.model), read_ranges(exported.model).tensors
    written = set()
    for node in payload.graph.node:
        if node.op_type == "QuantizeLinear":
            tensor = find_same_values(view, node.input[0], learned)
            grid = Grid.cover(*learned[tensor])
            assert (constants[node.input[1]], constants[node.input[2]]) == (grid.scale, grid.zero_point)
            written.add(tensor)
    assert written == learned.keys()
    np.testing.assert_allclose(sorted(learned.values()), sorted(exported.ranges.values()), rtol=1e-6, atol=1e-9)


def test_tensorrt_rounds_no_tensor_that_was_not_trained(exported):
    tensors = plan_tensorrt(exported.model).tensors
    assert find_learned(exported.model, tensors, read_ranges(exported.model)).keys() == set(tensors) > set()


def test_the_int8_graph_answers_as_the_trained_model(material, tmp_path):
    """ResNet-8, trained on, 500 pictures of Fashion-MNIST's test part; 8-bit weights, whatever this CPU multiplies well."""
    data = load_dataset("fashion_mnist_small", {})
    part = dataclasses.replace(
        data.calibration,
        images=data.calibration.images[:64],
        targets={"labels": data.calibration.targets["labels"][:64]},
    )
    finetune = FinetuneSection(epochs=1, batch_size=32, learning_rate=1e-3)
    fed = dataclasses.replace(material, calibration=part, load_training=lambda: part, finetune=finetune)
    draft = Draft(build_resnet8(trained=True))
    compress_draft(draft, {"method": "qat", "finetune": finetune.model_dump()}, fed)
    trained, model = export_optimized(draft, build_resnet8, part, tmp_path)
    lowering = lower(model, [part.batch(index, index + 1) for index in range(16)])
    assert all(tensor_range.learned for tensor_range in lowering.ranges.values())
    assert list(lowering.methods_db) == ["learned"]
    assert lowering.kept_in_float == {}
    assert not lowering.model.metadata_props

    pictures = data.evaluation.batch(0, 500)
    expected = run_pytorch(trained, pictures)["output"]
    exact, fused = (run_int8(lowering.model, pictures, fused=fused) for fused in (False, True))
    assert not np.array_equal(exact, fused)
    for outputs in (exact, fused):
        assert np.mean(outputs.argmax(1) == expected.argmax(1)) >= 0.995
    noise_db = 10 * np.log10(np.sum(expected**2) / np.sum((exact - expected) ** 2))
    assert noise_db >= 40  # some values lie between two numbers and fall to the other side
