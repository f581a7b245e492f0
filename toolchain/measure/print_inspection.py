"""What `inspect` found, as people read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from toolchain.agent.measure.quantities import ABSENT
from toolchain.measure.inspect import find_reasons
from toolchain.report.quantities import write_size
from toolchain.run.screen import Screen

# Of names in a line; --json has all.
_LISTED_MAX = 4
_WIDTH_MAX = 120


def print_inspection(found: Mapping[str, Any], *, stream: TextIO) -> None:
    """Print an ONNX file with what targets take of it, or a bundle with its payloads."""
    screen = Screen(stream, width_max=_WIDTH_MAX)
    if found["kind"] == "bundle":
        _print_bundle(found, screen)
        return
    screen.pairs([("file", f"{found['path']}, {write_size(found['size_bytes'])}"), *_list_graph(found["graph"])])
    screen.line()
    groups: dict[tuple[str, ...], list[str]] = {}
    for target in found["targets"]:
        key = (target["runtime"], ", ".join(target["precision"]), _write_int8(target), _write_share(target))
        groups.setdefault(key, []).append(target["target"])
    rows = [[(text, "") for text in (", ".join(names), *key)] for key, names in groups.items()]
    screen.table(("target", "runtime", "precision", "layers in int8", "of the MACs"), rows, numbers=2)
    said: set[tuple[str, str]] = set()
    for target in found["targets"]:
        for reason, layers in find_reasons(target["kept_in_float"]).items():
            if (target["runtime"], reason) not in said:
                said.add((target["runtime"], reason))
                screen.paragraph(f"{target['runtime']}, in float: {_write_names(layers)}: {reason}")
        if target["refused"] and (target["runtime"], target["refused"]) not in said:
            said.add((target["runtime"], target["refused"]))
            screen.paragraph(f"{target['runtime']} does not take it: {target['refused']}")
    screen.line()
    screen.paragraph(
        "By plan: operators and weights as they lie in the file, before the passes. Ranges, accuracy and speed decide in "
        "`toolchain lower` and `deploy`, with your data; fp16 takes every layer whose values fit.",
        "dim",
    )


def _write_int8(target: Mapping[str, Any]) -> str:
    if target["refused"]:
        return "refused"
    if target["int8"] is None:
        return "not listed" if target["came_quantized"] is not None else "not known"
    if target["came_quantized"]:
        return "came quantized"
    return f"{len(target['int8'])} of {len(target['int8']) + len(target['kept_in_float'])}"


def _write_share(target: Mapping[str, Any]) -> str:
    share = target["int8_share_macs"]
    return ABSENT if share is None else f"{100 * share:.1f} %"


def _list_graph(graph: Mapping[str, Any]) -> list[tuple[str, str]]:
    operators = ", ".join(f"{name} {count}" for name, count in graph["operators"].items())
    opset = ", ".join(f"{domain} {version}" for domain, version in graph["opset"].items())
    uncounted = graph["uncounted"]
    macs = f"{graph['macs']:,} a sample" + (f"; not known: {_write_names(uncounted)}" if uncounted else "")
    largest = [
        f"{each['name']} {tuple(each['shape'])} {write_size(each['size_bytes'])}"
        for each in graph["largest_activations"]
    ]
    live = graph["live_bytes"]
    together = "not known: an axis has no length" if live is None else f"{write_size(live)} at a time"
    return [
        *(("input", _write_tensor(each)) for each in graph["inputs"]),
        *(("output", _write_tensor(each)) for each in graph["outputs"]),
        ("opset", f"{opset}; IR {graph['ir_version']}" + (f"; {graph['producer']}" if graph["producer"] else "")),
        ("nodes", f"{graph['nodes']}: {operators}"),
        ("parameters", f"{graph['parameters']:,}, {write_size(graph['weights_bytes'])}"),
        ("MACs", macs),
        ("activations", together),
        ("largest", ", ".join(largest[:_LISTED_MAX])),
    ]


def _print_bundle(found: Mapping[str, Any], screen: Screen) -> None:
    metric = found["metric"]
    needs = {**found["compatible"], **found["compatible"]["runtime_versions"], "runtime_versions": None}
    compatible = [f"{name} {value}" for name, value in needs.items() if value]
    gates = [f"{name} {value}" for name, value in found["gates"].items() if value not in (None, {}, False)]
    screen.pairs(
        [
            ("bundle", f"{found['path']}, {write_size(found['size_bytes'])}, {found['bundle_id'][:12]}"),
            ("model", f"{found['model']} for {found['target']}, {_write_ways(found)}"),
            ("signature", "of this manifest; who made it is not checked here" if found["signed"] else "none"),
            ("counter", f"{found['counter']}, expires {found['expires'] or 'never'}"),
            ("board", ", ".join(compatible) or "any"),
            *(("input", _write_tensor(each)) for each in found["inputs"]),
            *(("output", _write_tensor(each)) for each in found["outputs"]),
            ("metric", "none" if metric["name"] is None else f"{metric['name']}, float {metric['reference']}"),
            ("gates", ", ".join(gates)),
            ("samples", f"{found['golden_samples']:,}"),
        ]
    )
    for candidate in found["candidates"]:
        screen.line()
        graph = candidate["graph"]
        head = f"{candidate['path']}, {write_size(candidate['size_bytes'])}"
        screen.pairs([(candidate["name"], head), *([] if graph is None else _list_graph(graph))])


def _write_ways(found: Mapping[str, Any]) -> str:
    return f"{', '.join(found['runtimes'])}, {' or '.join(map(str, found['threads']))} threads"


def _write_tensor(tensor: Mapping[str, Any]) -> str:
    shape = tensor["shape"]
    axes = "of unknown shape" if shape is None else f"({', '.join(str(axis or '?') for axis in shape)})"
    return f"{tensor['name']} {tensor['dtype']} {axes}"


def _write_names(names: Sequence[str]) -> str:
    rest = len(names) - _LISTED_MAX
    return ", ".join(names[:_LISTED_MAX]) + (f" and {rest} more" if rest > 0 else "")
