"""Channels taken out of a model, with everything that hangs on them; the model is run to see that it still can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from toolchain.compress.draft import Draft
from toolchain.compress.outputs import Inputs, call_model, copy_model, list_outputs
from toolchain.compress.pruning.dependencies import FAILURES, build_graph, keep_freeze
from toolchain.errors import ToolchainError, usage
from toolchain.module.structure import CONVOLUTIONS


def prune_copy(model: nn.Module, inputs: Inputs, removed: Mapping[str, Sequence[int]], *, method: str) -> nn.Module:
    """Return the model without these channels, by the root layer of their group, and without what hangs on them.

    Raises ToolchainError (exit 2) that names the group after which the model does not run any more, as where a
    forward holds a number of channels as a constant.
    """
    pruned = copy_model(model)
    found = _try_pruning(pruned, inputs, removed, method=method)
    if found is None:
        return pruned
    for root, channels in removed.items():  # which of them alone does it?
        alone = _try_pruning(copy_model(model), inputs, {root: channels}, method=method)
        if alone is not None:
            raise _explain_dependence([root], alone, method)
    raise _explain_dependence(list(removed), found, method)


def find_counted(model: nn.Module, inputs: Inputs, some: Mapping[str, Sequence[int]], *, method: str) -> set[str]:
    """Return the groups, by their root layers, after which the model does not run any more, each tried alone.

    some: of each group, a few channels that could go, by its root.
    """
    if not some or _try_pruning(copy_model(model), inputs, some, method=method) is None:
        return set()
    return {
        root
        for root, channels in some.items()
        if _try_pruning(copy_model(model), inputs, {root: channels}, method=method) is not None
    }


def remove_channels(draft: Draft, inputs: Inputs, removed: Mapping[str, Sequence[int]], *, method: str) -> None:
    """Remove channels from the draft, and remember what became of its grouped convolutions.

    Raises ToolchainError as prune_copy does; the draft is as it was then.
    """
    pruned = prune_copy(draft.model, inputs, removed, method=method)
    fewer = {
        name: module.groups
        for name, module in pruned.named_modules()
        if isinstance(module, CONVOLUTIONS) and module.groups != draft.model.get_submodule(name).groups
    }
    _try_pruning(draft.model, inputs, removed, method=method)
    for name, groups in fewer.items():
        draft.set_groups(name, groups)
    draft.model.zero_grad(set_to_none=True)


def _try_pruning(model: nn.Module, inputs: Inputs, removed: Mapping[str, Sequence[int]], *, method: str) -> str | None:
    """Remove channels in place; return what then is wrong with the model, None where it runs as before."""
    shapes = _list_shapes(model, inputs)
    graph = build_graph(model, inputs, method=method)
    try:
        for root, channels in removed.items():
            module = model.get_submodule(root)
            prune = graph.get_pruner_of_module(module).prune_out_channels
            with keep_freeze(model):
                graph.get_pruning_group(module, prune, list(channels)).prune()
        found = _list_shapes(model, inputs)
    except FAILURES as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return None if found == shapes else f"outputs {found} in place of {shapes}"


def _list_shapes(model: nn.Module, inputs: Inputs) -> str:
    outputs = list_outputs(call_model(model, inputs))
    return ", ".join(str(tuple(tensor.shape)) for tensor in outputs)


def _explain_dependence(roots: Sequence[str], found: str, method: str) -> ToolchainError:
    names = ", ".join(f'"{root}"' for root in roots)
    return usage(
        f"{method} cannot remove channels of {', '.join(roots)}: the model's forward counts on their number",
        where=f"{method}: layers",
        expected="the same outputs' shape with fewer channels",
        found=found,
        fix=f"skip = [{names}]",
    )
