"""The task metric of a PyTorch model."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from numpy.typing import NDArray
from torch import nn

from toolchain.agent.measure.scoring import Scoring
from toolchain.agent.measure.targets import slice_target
from toolchain.data.dataset import Samples
from toolchain.errors import usage
from toolchain.module.forward import Call, bind_inputs, name_outputs

_BATCH_SIZE = 256  # larger ones are not faster on a CPU


def measure_metric(model: nn.Module, samples: Samples, *, scoring: Scoring, accelerator: Accelerator) -> float:
    """Return the task metric, in its unit; every process returns that of all samples.

    Raises ToolchainError: exit 2 for samples without the metric's targets, exit 23 for outputs that it cannot read.
    """
    targets = samples.targets
    lacking = [name for name in scoring.targets if name not in targets]
    if lacking:
        raise usage(
            f"the data has no {lacking[0]} to measure with",
            where="data",
            expected=f"the targets of {scoring.name}: {', '.join(scoring.targets)}",
            found=", ".join(targets) or "none",
            fix=f"name a data set with {lacking[0]}",
        )
    model.to(accelerator.device).eval()
    call = bind_inputs(model, list(samples.batch(0, 1)))
    tally, wanted = scoring.start(), scoring.list_targets(list(targets))
    own = accelerator.process_index * _BATCH_SIZE
    with torch.inference_mode(), contextlib.redirect_stdout(sys.stderr):
        for first in range(0, len(samples), _BATCH_SIZE * accelerator.num_processes):
            start = first + own
            outputs = _run(model, call, samples, start, accelerator) if start < len(samples) else {}
            read = scoring.list_read(list(outputs))
            # A batch of each process, as all add all: one that waits for the others has nothing else to do.
            for begin, found in gather_object([(start, {name: outputs[name] for name in read})]):
                if begin < len(samples):
                    stop = min(begin + _BATCH_SIZE, len(samples))
                    truth = {name: slice_target(targets[name], begin, stop) for name in wanted}
                    tally.add(found, truth, samples.batch(begin, stop) if scoring.is_decoded else {})
    return tally.compute()


def _run(
    model: nn.Module, call: Call, samples: Samples, start: int, accelerator: Accelerator
) -> dict[str, NDArray[Any]]:
    arrays = samples.batch(start, min(start + _BATCH_SIZE, len(samples)))
    inputs = {name: torch.from_numpy(array).to(accelerator.device) for name, array in arrays.items()}
    outputs = name_outputs(call.run(model, inputs))
    # NumPy has no bfloat16.
    return {
        name: (output.float() if output.dtype is torch.bfloat16 else output).cpu().numpy()
        for name, output in outputs.items()
    }
