"""The processes that train together."""

from __future__ import annotations

import gc
import os

import torch
from accelerate import Accelerator, PartialState

from toolchain.errors import usage


def start_accelerator() -> Accelerator:
    """Return accelerate's view of the processes that train together, in bfloat16 where the hardware has it."""
    on_cpu = not torch.accelerator.is_available()
    accelerator = Accelerator(cpu=on_cpu, mixed_precision="bf16" if _has_bfloat16(on_cpu=on_cpu) else "no")
    # `accelerate launch --cpu --num_processes N` starts one process and no second (1.15), unless mpirun is asked for:
    # it sets the address of the main process, and no number of processes.
    alone = "ACCELERATE_USE_CPU" in os.environ and "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != launched or (accelerator.num_processes == 1 and alone):
        raise usage(
            "the processes would not train together",
            where="environment: WORLD_SIZE",
            expected="several processes" if alone else f"{launched} processes",
            found=str(accelerator.num_processes),
            fix="start with: torchrun --nproc_per_node N -m toolchain train MODEL, or accelerate launch --multi_gpu "
            "--num_processes N -m toolchain train MODEL; both train on CPUs too",
        )
    return accelerator


def stop_accelerator() -> None:
    """Part from the other processes; to be called when a process has done all its training, well or not.

    A process that exits in the group may be aborted: gloo's threads then run into the end of the interpreter. What was
    prepared for the group keeps it alive, in cycles that only the collector takes apart.
    """
    PartialState().destroy_process_group()
    gc.collect()


def _has_bfloat16(*, on_cpu: bool) -> bool:
    """Return whether bfloat16 is fast here: without these instructions it is slower than float32."""
    if not on_cpu:
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    features = torch.cpu.get_capabilities()
    return any(features.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
