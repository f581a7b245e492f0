"""A stage that several processes build together, because it trains."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from toolchain.agent.temporary import TemporaryFolder
from toolchain.stages.run import Run


def build_together(run: Run, name: str, inputs: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
    """Return the folder of a stage's result, which every process of `torchrun` builds and the first one keeps.

    Only the first process takes the entry's lock: the others would wait for it, and it for them.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return run.stage(name, inputs, build).folder
    from accelerate.utils import broadcast_object_list

    from toolchain.module.fit import start_accelerator

    accelerator = start_accelerator()
    # What the first process sees counts: an entry that another run finishes between two looks would part them.
    cached: list[bool] = broadcast_object_list([run.cache.has(name, inputs)])
    if not accelerator.is_main_process and not cached[0]:
        with TemporaryFolder() as folder:
            build(folder)
    elif accelerator.is_main_process:
        run.stage(name, inputs, build)
    accelerator.wait_for_everyone()
    return run.stage(name, inputs, build).folder
