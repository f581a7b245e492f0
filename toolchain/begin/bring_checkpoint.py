"""A checkpoint without its code: a file to write the model in, with the names and shapes that it must have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

from toolchain.agent.printable import escape_line
from toolchain.agent.temporary import TemporaryFolder
from toolchain.begin.brought import WEIGHTS, Brought
from toolchain.module.checkpoints.read import read_checkpoint

if TYPE_CHECKING:
    from toolchain.run.progress import Progress

# Of a large network, enough to recognize its parts.
_LISTED_MAX = 200

_STUB = '''"""{title}"""

from torch import nn


def build() -> nn.Module:
    """Return the untrained model, as it was trained: with the tensors below."""
    raise NotImplementedError("write the model of {checkpoint} here")


{tensors}
'''


def bring_checkpoint(path: Path, name: str, *, progress: Progress) -> Brought:
    """Return a model that is to be written yet, for the weights of a checkpoint.

    Raises ToolchainError as read_checkpoint does (exit 2, 23).
    """
    with TemporaryFolder() as folder:
        checkpoint = read_checkpoint(path, folder, progress=progress)
        tables = {table.place or ".": _list_shapes(table.file) for table in checkpoint.tables}
    place = max(tables, key=lambda each: len(tables[each]))
    lines = [f"# {escape_line(tensor)} {shape}" for tensor, shape in tables[place].items()]
    rest = len(lines) - _LISTED_MAX
    more = [f"# and {rest} more"] if rest > 0 else []
    heading = (
        f"# The tensors of {path.name}{'' if place == '.' else f', {place}'}; a prefix of all names may be left out."
    )
    stub = _STUB.format(
        title=f"The model of {escape_line(path.name)}: to be written.".replace('"', "'"),
        checkpoint=escape_line(path.name).replace('"', "'").replace("\\", "/"),
        tensors="\n".join([escape_line(heading), *lines[:_LISTED_MAX], *more]),
    )
    said = [f"{path} holds {len(shapes)} tensors under {each}" for each, shapes in tables.items()]
    return Brought(
        model={"build": "model.py:build", "weights": WEIGHTS},
        files={"model.py": stub.encode()},
        said=(*said, "a checkpoint has no code: model.py lists the tensors that the model must have"),
        missing=(
            f"the model: write models/{name}/model.py, or copy the file that it was trained with there",
            f"the weights, then: toolchain convert {path} --model {name}",
        ),
    )


def _list_shapes(file: Path) -> dict[str, str]:
    with safe_open(file, framework="pt") as opened:
        slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - it is no dict
        return {name: f"{tuple(each.get_shape())} {each.get_dtype()}" for name, each in slices.items()}
