import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.compress.conftest import SmallNet, build_net, make_samples
from tests.objectives import make_objective
from toolchain.compress import Draft, FinetuneSection, compress_draft
from toolchain.compress.distillation.features import compare_attention, compare_features
from toolchain.compress.distillation.teacher import read_teacher_outputs
from toolchain.compress.methods.distillation import Options, combine
from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.fit import Batch

PAIR = {"student": "blocks.0", "teacher": "blocks.1"}


class Counting(nn.Module):
    """A teacher that counts the pictures that it sees."""

    def __init__(self, net):
        super().__init__()
        self.net, self.seen = net, 0

    def forward(self, x):
        self.seen += len(x)
        return self.net(x)


class Halves(nn.Module):
    """A teacher that is sure: which is brighter, the left half or the upper one."""

    def forward(self, x):
        margin = 20 * (x[:, :, :, :4].mean(dim=(1, 2, 3)) - x[:, :, :4].mean(dim=(1, 2, 3)))
        return torch.stack([margin, -margin], dim=1)


@pytest.fixture
def distill(material):
    """Return a function that distills a net from a teacher and returns the draft."""

    def run(net, teacher=None, *, epochs=1, seed=0, folder=None, **options):
        section = FinetuneSection(epochs=epochs, batch_size=16, learning_rate=0.05, seed=seed)
        own = dataclasses.replace(
            material,
            finetune=section,
            load_teacher=lambda name: build_net(seed=1, channels=8) if teacher is None else teacher,
            folder=folder or material.folder,
        )
        draft = Draft(net)
        table = {"method": "distillation", "teacher": "big", "finetune": section.model_dump(), **options}
        compress_draft(draft, table, own)
        return draft

    return run


def combine_scores(student, teacher, labels, options):
    """Return the loss of one batch of scores."""
    batch = Batch(inputs={}, targets={"labels": labels}, indices=np.arange(len(labels)), mirrored=torch.zeros(1))
    return combine({"output": student}, {"output": teacher}, batch, options, make_objective())


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@given(
    st.integers(0, 2**16),
    st.sampled_from([1.0, 2.0, 4.0, 8.0]),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
def test_the_loss_is_hintons(seed, temperature, hard_weight):
    generator = np.random.default_rng(seed)
    student, teacher = generator.normal(scale=3, size=(2, 5, 4))
    labels = generator.integers(0, 4, 5)
    hard = -np.log(softmax(student)[np.arange(5), labels]).mean()
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    soft = (p * (np.log(p) - np.log(q))).sum(axis=1).mean()
    expected = hard_weight * hard + (1 - hard_weight) * temperature**2 * soft
    options = Options(teacher="t", temperature=temperature, hard_weight=hard_weight)
    loss = combine_scores(torch.from_numpy(student), torch.from_numpy(teacher), torch.from_numpy(labels), options)
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_the_attention_loss_is_that_of_the_paper_also_for_maps_of_two_sizes():
    generator = np.random.default_rng(0)
    student, teacher = generator.normal(size=(2, 3, 4, 4)), generator.normal(size=(2, 5, 8, 8))
    pooled = teacher.reshape(2, 5, 4, 2, 4, 2).mean(axis=(3, 5))

    def attend(features):
        energy = (features**2).sum(axis=1).reshape(2, -1)
        return energy / np.linalg.norm(energy, axis=1, keepdims=True)

    expected = ((attend(student) - attend(pooled)) ** 2).mean()
    found = compare_attention(torch.from_numpy(student), torch.from_numpy(teacher)).item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_attention_loss_of_a_scaled_map_is_zero():
    features = torch.rand(2, 3, 4, 4)
    assert compare_attention(features, 3 * features).item() == pytest.approx(0, abs=1e-12)


def test_the_feature_loss_averages_the_larger_map_down():
    a, b = torch.rand(2, 3, 2, 2), torch.rand(2, 3, 4, 4)
    pooled = b.numpy().reshape(2, 3, 2, 2, 2, 2).mean(axis=(3, 5))
    assert compare_features(a, b).item() == pytest.approx(((a.numpy() - pooled) ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cache_teacher": False},
        {"features": [PAIR]},
        {"attention": [PAIR]},
        {"features": [PAIR, {"student": "head", "teacher": "head"}], "attention": [PAIR]},
        {"from_scratch": True},
    ],
)
def test_the_weights_change_and_their_names_and_shapes_stay(distill, options):
    before = build_net(channels=8).state_dict()
    draft = distill(build_net(channels=8), **options)
    after = draft.model.state_dict()
    assert {name: value.shape for name, value in after.items()} == {n: v.shape for n, v in before.items()}
    assert not torch.equal(after["stem.weight"], before["stem.weight"])
    assert draft.edits == ()
    assert not any(module._forward_hooks for module in draft.model.modules())
    assert vars(draft.model).keys() == vars(build_net(channels=8)).keys()


def test_features_of_a_teacher_with_other_channels_and_places_are_adapted(distill):
    class Wide(SmallNet):
        def forward(self, x):
            return super().forward(nn.functional.interpolate(x, scale_factor=2))

    torch.manual_seed(3)
    distill(build_net(channels=8), Wide(channels=24).eval(), features=[PAIR], attention=[PAIR])


@pytest.mark.parametrize("part", ["features", "attention"])
def test_features_and_attention_pull_at_the_student(distill, tmp_path, part):
    def train(name, **options):
        (tmp_path / name).mkdir()
        return distill(build_net(channels=8), folder=tmp_path / name, **options).model.stem.weight

    plain = train("plain", cache_teacher=False)
    assert torch.equal(train("again", cache_teacher=False), plain)
    assert not torch.allclose(train("pulled", **{part: [PAIR]}), plain, atol=1e-6)


def test_the_teacher_is_not_trained(distill):
    teacher = build_net(seed=1)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    distill(build_net(channels=8), teacher, features=[PAIR], attention=[PAIR])
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_a_second_student_does_not_run_the_teacher(distill, tmp_path):
    first, second = Counting(build_net(seed=1)), Counting(build_net(seed=1))
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    distill(build_net(channels=8), first, folder=tmp_path / "one")
    assert first.seen == 1 + 2 * len(make_samples())  # one to look at, and all, plain and mirrored
    distill(build_net(channels=8), second, folder=tmp_path / "two", seed=5)
    assert second.seen == 0


def test_without_the_cache_the_teacher_sees_every_batch(distill):
    teacher = Counting(build_net(seed=1))
    distill(build_net(channels=8), teacher, cache_teacher=False, epochs=2)
    assert teacher.seen == 1 + 2 * len(make_samples())


def test_a_student_that_learns_from_labels_alone_asks_no_teacher(distill):
    teacher = Counting(build_net(seed=1))
    distill(build_net(channels=8), teacher, hard_weight=1.0)
    assert teacher.seen == 0


def test_the_kept_logits_are_those_of_the_picture_or_of_its_mirror_image(material):
    teacher, samples = build_net(seed=1), make_samples()
    own = dataclasses.replace(material, load_teacher=lambda name: teacher)
    logits = read_teacher_outputs(own, "big", samples, shapes={"output": (2,)})
    indices = np.array([7, 3, 60])
    pictures = torch.from_numpy(samples.take(indices)["input"])
    mirrored = torch.tensor([False, True, False])
    batch = Batch(inputs={"input": pictures}, targets={}, indices=indices, mirrored=mirrored)
    seen = torch.stack([p.flip(2) if m else p for p, m in zip(pictures, mirrored, strict=True)])
    with torch.inference_mode():
        torch.testing.assert_close(logits.pick(batch)["output"], teacher(seen))


def test_a_student_moves_towards_its_teacher(distill, material):
    pictures = material.inputs(64)[0]

    def distance(net, teacher):
        with torch.inference_mode():
            return combine_scores(net(pictures), teacher(pictures), torch.zeros(64, dtype=torch.int64), SOFT).item()

    teacher = Halves()
    before = distance(build_net(channels=8), teacher)
    draft = distill(build_net(channels=8), teacher, hard_weight=0.0, epochs=8)
    assert distance(draft.model, teacher) < before / 2


SOFT = Options(teacher="big", hard_weight=0.0)


def test_from_scratch_forgets_the_weights_and_begins_with_those_of_the_seed(distill, tmp_path):
    def train(net_seed, seed):
        folder = tmp_path / f"{net_seed} {seed}"  # or a training would go on from the checkpoint of the one before
        folder.mkdir()
        net = build_net(seed=net_seed, channels=8)
        return distill(net, from_scratch=True, hard_weight=1.0, seed=seed, folder=folder).model.stem.weight

    assert torch.equal(train(0, 0), train(1, 0))
    assert not torch.equal(train(0, 1), train(0, 2))


def assert_refused(caught, *texts):
    assert caught.value.code is ExitCode.USAGE
    for text in texts:
        assert text in str(caught.value)


@pytest.mark.parametrize("options", [{}, {"cache_teacher": False}, {"features": [PAIR]}])
def test_a_teacher_of_other_classes_is_refused(distill, options):
    with pytest.raises(ToolchainError, match="other outputs") as caught:
        distill(build_net(channels=8), build_net(seed=1, classes=5), **options)
    assert_refused(caught, "found output (N, 5)", "compress[0]")


def test_kept_logits_of_other_classes_are_refused(distill, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    distill(build_net(channels=8, classes=2), folder=tmp_path / "one")
    with pytest.raises(ToolchainError, match="other outputs") as caught:
        distill(build_net(channels=8, classes=3), folder=tmp_path / "two")
    assert_refused(caught, "expected output (N, 3)", "found output (N, 2)")


def test_a_teacher_for_other_pictures_is_refused(distill):
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    with pytest.raises(ToolchainError, match="does not take the samples") as caught:
        distill(build_net(channels=8), teacher)
    assert_refused(caught, "(3, 8, 8)")


@pytest.mark.parametrize("key", ["features", "attention"])
@pytest.mark.parametrize("side", ["student", "teacher"])
def test_a_layer_name_that_matches_nothing_is_named(distill, key, side):
    with pytest.raises(ToolchainError, match=f"matches nothing in the {side}") as caught:
        distill(build_net(channels=8), **{key: [{**PAIR, side: "blocks.9"}]})
    assert_refused(caught, "blocks.9", "blocks.0")


@pytest.mark.parametrize(
    ("key", "pair"),
    [
        ("features", {"student": "head", "teacher": "blocks.0"}),
        ("attention", {"student": "head", "teacher": "head"}),
    ],
)
def test_features_that_cannot_be_compared_are_refused(distill, key, pair):
    with pytest.raises(ToolchainError, match="cannot be compared") as caught:
        distill(build_net(channels=8), **{key: [pair]})
    assert_refused(caught, "head")


def test_from_scratch_after_a_pruning_is_refused(material):
    section = FinetuneSection(epochs=1, batch_size=16)
    draft = Draft(build_net(channels=8))
    compress_draft(draft, {"method": "magnitude_pruning", "amount": 0.5}, material)
    entry = {
        "method": "distillation",
        "teacher": "big",
        "from_scratch": True,
        "finetune": section.model_dump(),
    }
    with pytest.raises(ToolchainError, match="undo the pruning") as caught:
        compress_draft(draft, entry, dataclasses.replace(material, finetune=section))
    assert_refused(caught, "stem")


def test_from_scratch_is_refused_where_a_module_cannot_begin_anew(distill):
    class Scaled(SmallNet):
        def __init__(self):
            super().__init__(channels=8)
            self.scale = nn.Parameter(torch.ones(()))

    with pytest.raises(ToolchainError, match="from scratch") as caught:
        distill(Scaled(), from_scratch=True)
    assert_refused(caught, "Scaled")


def test_a_pruned_student_keeps_its_zeros(material):
    section = FinetuneSection(epochs=1, batch_size=16)
    own = dataclasses.replace(material, finetune=section)
    draft = Draft(build_net(channels=8))
    compress_draft(draft, {"method": "magnitude_pruning", "amount": 0.5}, material)
    zeros = draft.model.stem.weight == 0
    before = draft.model.stem.weight.detach().clone()
    entry = {"method": "distillation", "teacher": "big", "features": [PAIR], "finetune": section.model_dump()}
    compress_draft(draft, entry, own)
    assert torch.equal(draft.model.stem.weight == 0, zeros)
    assert not torch.equal(draft.model.stem.weight, before)


def test_a_distillation_without_a_training_is_refused(compress):
    with pytest.raises(ToolchainError, match="does not say how long") as caught:
        compress(build_net(), method="distillation", teacher="big")
    assert caught.value.code is ExitCode.USAGE
