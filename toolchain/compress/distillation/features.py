"""Intermediate features of a student and a teacher: captured, adapted, compared."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toolchain.compress.outputs import Inputs, run_model
from toolchain.errors import usage
from toolchain.project.toml_file import Section


class LayerPair(Section):
    """A layer of the student and the teacher's layer that it learns from, by their names in the PyTorch models."""

    student: str
    teacher: str


class Adapted(nn.Module):
    """A student whose forward also returns its features, and those as adapters translate them for the teacher.

    The student inside is the very module: what is trained is trained in it, and the adapters go with this one.
    """

    def __init__(self, student: nn.Module, layers: Sequence[str], adapters: Sequence[nn.Module]) -> None:
        super().__init__()
        self.student = student
        self.adapters = nn.ModuleList(adapters)
        self._layers = list(layers)  # the first len(adapters) of them are adapted

    def forward(self, *inputs: Tensor, **named: Tensor) -> tuple[Any, list[Tensor], dict[str, Tensor]]:
        """Return what the student returns, the adapted features in the order of the adapters, and the features by layer."""
        with capture(self.student, self._layers) as features:
            result = self.student(*inputs, **named)
        # The first layers belong to the adapters, one each.
        adapted = [adapter(features[name]) for name, adapter in zip(self._layers, self.adapters, strict=False)]
        return result, adapted, features


@contextmanager
def capture(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Collect what the layers return while the block runs; of a layer that runs twice, its last run."""
    features: dict[str, Tensor] = {}
    handles = [
        model.get_submodule(name).register_forward_hook(partial(_keep, features, name))
        for name in dict.fromkeys(layers)
    ]
    try:
        yield features
    finally:
        for handle in handles:
            handle.remove()


def _keep(features: dict[str, Tensor], name: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
    # A copy: an activation that works in place may stand behind the layer.
    features[name] = output.clone() if isinstance(output, Tensor) else output


def make_adapters(
    student: nn.Module,
    teacher: nn.Module,
    inputs: Inputs,
    features: Sequence[LayerPair],
    attention: Sequence[LayerPair],
    *,
    seed: int,
    where: str,
) -> list[nn.Module]:
    """Return what makes the student's channels the teacher's: a 1x1 convolution, or a linear layer over the last axis.

    Raises ToolchainError (exit 2) for a layer that is not there, never runs, or whose features do not suit the other's.
    """
    pairs = (*features, *attention)
    theirs = _probe(teacher, inputs, [pair.teacher for pair in pairs], role="teacher", where=where)
    ours = _probe(student, inputs, [pair.student for pair in pairs], role="student", where=where)
    for pair in pairs:
        expected = {4} if pair in attention else {2, 3, 4}
        a, b = ours[pair.student], theirs[pair.teacher]
        if a.ndim != b.ndim or a.ndim not in expected:
            raise usage(
                "the features of two layers cannot be compared",
                where=f"{where}: {pair.student} and {pair.teacher}",
                expected="feature maps (N, C, H, W) of both" if expected == {4} else "features with as many axes",
                found=f"{tuple(a.shape)} and {tuple(b.shape)}",
                fix="name layers of the same kind",
            )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return [_make_adapter(ours[pair.student], theirs[pair.teacher]) for pair in features]


def compare_features(adapted: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference; of two maps, the larger is averaged down to the smaller one's places."""
    if adapted.ndim == 4:
        adapted, teacher = _match_places(adapted, teacher)
    return F.mse_loss(adapted.float(), teacher.float())


def compare_attention(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of the attention maps of two feature maps `(N, C, H, W)`."""
    student, teacher = _match_places(student, teacher)
    return F.mse_loss(_attend(student), _attend(teacher))


def _attend(features: Tensor) -> Tensor:
    """Return where the energy lies `(N, H * W)`, as a vector of length 1."""
    return F.normalize(features.float().square().sum(dim=1).flatten(1), dim=1)


def _match_places(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    size = (min(a.shape[2], b.shape[2]), min(a.shape[3], b.shape[3]))
    return F.adaptive_avg_pool2d(a, size), F.adaptive_avg_pool2d(b, size)


def _make_adapter(student: Tensor, teacher: Tensor) -> nn.Module:
    if student.ndim == 4:
        return nn.Conv2d(student.shape[1], teacher.shape[1], 1)
    return nn.Linear(student.shape[-1], teacher.shape[-1])


def _probe(model: nn.Module, inputs: Inputs, layers: Sequence[str], *, role: str, where: str) -> dict[str, Tensor]:
    """Return the features of some samples, by layer."""
    known = [name for name, _ in model.named_modules() if name]
    for name in layers:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3) or known[:3]
            raise usage(
                f"a layer name matches nothing in the {role}",
                where=where,
                expected=f"one of its {len(known)} modules, such as {', '.join(near)}",
                found=name,
                fix="correct its spelling",
            )
    with capture(model, layers) as features:
        run_model(model, inputs)
    for name in layers:
        if not isinstance(features.get(name), Tensor):
            raise usage(
                f"a layer of the {role} has no features to learn from",
                where=where,
                expected="a module that runs and returns one tensor",
                found=name,
                fix="name another layer",
            )
    return features
