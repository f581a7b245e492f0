"""Every task keeps what the seam promises: a loss with a gradient, and a check that takes what fits."""

from __future__ import annotations

import ast
import inspect

import pytest
import torch

from tests.objectives import make_objective
from tests.tasks.test_tasks import CASES, compute
from toolchain.agent.measure.metrics import list_metrics
from toolchain.project.members import find_member, list_members, load_member
from toolchain.project.seams import DECODERS, TASKS
from toolchain.project.toml_file import Section

NAMES = sorted(list_members(TASKS))


@pytest.mark.parametrize("name", NAMES)
def test_a_task_names_a_metric_and_a_decoder_that_there_are(name):
    task = load_member(find_member(TASKS, name))
    assert task.METRIC in list_metrics()
    assert task.DECODER is None or find_member(DECODERS, task.DECODER).name == task.DECODER
    assert issubclass(task.Options, Section)
    assert isinstance(task.TARGETS, tuple)
    assert task.MOVES is None or set(task.MOVES) <= set(task.TARGETS)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_is_listed_without_torch(name):
    source = inspect.getsource(load_member(find_member(TASKS, name)))
    tops = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not any("torch" in ast.unparse(node) for node in tops)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_loss_is_one_number_and_says_where_every_output_should_go(name):
    options, samples, shape = CASES[name]
    output = torch.nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    loss = compute(name, output, options, samples)
    loss.backward()
    assert loss.shape == ()
    assert torch.isfinite(output.grad).all()
    assert bool((output.grad != 0).any())
    assert make_objective(name, **options).task.SUMMARY
