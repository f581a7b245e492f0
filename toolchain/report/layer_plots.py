"""The plots of layers: where the time goes, what is left to gain, what bounds it, where precision gets lost."""

from __future__ import annotations

from collections.abc import Sequence

from toolchain.agent.measure.quantities import ABSENT, write_digits, write_percent
from toolchain.report.explanation_shape import LayerCost, LayerCosts, MachinePeaks
from toolchain.report.layer_words import NO_MACS, describe_precision, describe_roof, name_kernel, name_layer, write_us
from toolchain.report.plot_frame import ROWS_MAX, Plot, Spec, draw_bars, frame_plot, name_rows

FILLS = {
    "int8": "var(--int8)",
    "float32": "url(#hatch-float32)",
    "fp16": "url(#hatch-fp16)",
    NO_MACS: "url(#hatch-other)",
}
"""What bars of a precision are filled with: a colour, or a pattern of the page's, which no printer loses."""
_REST = "url(#hatch-rest)"
_SHAPES = {"int8": "circle", "float32": "square", "fp16": "triangle-up", "bf16": "diamond"}

_Numbered = tuple[int, LayerCost]


def list_layer_plots(costs: LayerCosts | None, *, plain_us: float | None = None) -> list[Plot]:
    """Return the plots of which there is something to draw; plain_us is a run without the profiler."""
    if costs is None or not costs["layers"]:
        return []
    plots = [plot_times(costs, plain_us)]
    peaks, numbered = costs["peaks"], list(enumerate(costs["layers"]))
    if peaks is not None and any(cost["roof_share"] is not None for _, cost in numbered):
        plots += [plot_roof_shares(costs), plot_roofline(numbered, peaks)]
    if any(cost["sqnr_db"] is not None for _, cost in numbered):
        plots.append(plot_sqnr(numbered))
    return plots


def plot_times(costs: LayerCosts, plain_us: float | None) -> Plot:
    """Return how long each kernel takes, with what is left of the run beside them."""
    shown, others_us = choose_rows(costs["layers"])
    rows = _name_rows(shown)
    for row, (_, cost) in zip(rows, shown, strict=True):
        row |= {"us": cost["time_us"], "text": f"{write_us(cost['time_us'])}, {write_percent(cost['run_share'], 0)}"}
    rest = {"quicker kernels": others_us + costs["left_out_us"], _name_rest(costs, plain_us): costs["rest_us"]}
    for name, time_us in rest.items():
        if time_us > 0:
            text = f"{write_us(time_us)}, {write_percent(time_us / costs['run_us'], 0)}"
            rows.append(
                {"key": name, "layer": name, "precision": ABSENT, "us": time_us, "text": text, "fill": "var(--line)"}
            )
    longest = max(costs["layers"], key=lambda cost: cost["time_us"])
    return Plot(
        key="plot-times",
        title="Where does the time go?",
        description=f"Time of each kernel in the order of execution; {name_kernel(longest)} takes the longest, "
        f"{write_us(longest['time_us'])}.",
        spec=draw_bars(rows, field="us", axis="µs in one run"),
        note=_describe_sum(costs, plain_us),
    )


def _name_rest(costs: LayerCosts, plain_us: float | None) -> str:
    # What the profiler adds to a run may be as much as all that lies in no kernel.
    added_us = 0.0 if plain_us is None else costs["run_us"] - plain_us
    return "profiler, in no kernel" if 2 * added_us > costs["rest_us"] else "in no kernel"


def _describe_sum(costs: LayerCosts, plain_us: float | None) -> str:
    sum_us = costs["run_us"] - costs["rest_us"]
    plain = "" if plain_us is None else f", where one without it takes {write_us(plain_us)}"
    notes = [
        (
            f"Medians of {costs['runs']} runs under the runtime's profiler, which tells a kernel's time to a microsecond or so: a run "
            f"takes {write_us(costs['run_us'])} with it{plain}."
        )
    ]
    if costs["rest_us"] < 0:
        notes.append(f"Those of the kernels add up to {write_us(-costs['rest_us'])} more than that of the run.")
    else:
        notes.append(
            f"Of it {write_us(costs['rest_us'])} are in no kernel: the runtime's own way between them, and the profiler's."
        )
    if plain_us is not None and sum_us > plain_us:
        each_us = (sum_us - plain_us) / (len(costs["layers"]) + costs["left_out"])
        notes.append(
            f"The kernels alone take longer than a run without the profiler: some {each_us:.1f} µs of each are the profiler's."
        )
    return " ".join(notes)


def plot_roof_shares(costs: LayerCosts) -> Plot:
    """Return how near each layer comes to what this device could do."""
    shown = [item for item in choose_rows(costs["layers"])[0] if item[1]["roof_share"] is not None]
    rows = _name_rows(shown)
    for row, (_, cost) in zip(rows, shown, strict=True):
        row |= {"share": 100 * (cost["roof_share"] or 0.0), "text": describe_roof(cost, is_short=True)}
    most = max(100.0, *(row["share"] for row in rows))
    spec = draw_bars(rows, field="share", axis="% of the device's measured peak", domain_max=most)
    rule = {"type": "rule", "stroke": "var(--ink)", "strokeDash": [4, 3]}
    spec["layer"].insert(1, {"mark": rule, "encoding": {"x": {"datum": 100}}})
    over = sum(1 for _, cost in shown if cost["over_peak"])
    note = "The dashed line is the peak: what is missing to it is left to gain."
    if over:
        which = "One layer is" if over == 1 else f"{over} layers are"
        note += f" {which} over the measured peak: what was measured was not all that this device can do."
    return Plot(
        key="plot-roof-shares",
        title="What is left to gain?",
        description="Share of the measured peak that each layer reaches, and whether arithmetic or memory bounds it.",
        spec=spec,
        note=note,
    )


def plot_roofline(numbered: Sequence[_Numbered], peaks: MachinePeaks) -> Plot:
    """Return the roofline: MACs a second over MACs a byte, under the roofs of this device (Williams et al., CACM 2009)."""
    points = _list_points(numbered)
    used = {str(point["precision"]) for point in points}
    measured = {"int8": peaks["int8_gmacs"], "bf16": peaks.get("bf16_gmacs"), "float32": peaks["float_gmacs"]}
    heights = {name: height for name, height in measured.items() if name in used and height}
    found = [float(point["intensity"]) for point in points]
    ridges = [height / peaks["memory_gb_s"] for height in heights.values()]
    low, high = min([*found, *ridges]) / 3, max([*found, *ridges]) * 3
    roofs = [
        {"roof": name, "intensity": intensity, "gmacs": min(height, intensity * peaks["memory_gb_s"])}
        for name, height in heights.items()
        for intensity in (low, height / peaks["memory_gb_s"], high)
    ]
    ends = [
        {"roof": f"{name}: {write_digits(height)} GMAC/s", "intensity": high, "gmacs": height}
        for name, height in heights.items()
    ]
    powers = [10.0**power for power in range(-9, 10)]
    number_axis = {"grid": True, "format": "~r", "values": powers}
    x: Spec = {
        "field": "intensity",
        "type": "quantitative",
        "title": "MACs for each byte read or written",
        "axis": number_axis,
    }
    x["scale"] = {"type": "log", "nice": False, "domain": [low, high]}
    y: Spec = {
        "field": "gmacs",
        "type": "quantitative",
        "title": "GMAC/s",
        "axis": number_axis,
        "scale": {"type": "log"},
    }
    picked = {"test": "datum.key === picked", "value": "var(--picked)"}
    shapes = {"domain": list(_SHAPES), "range": list(_SHAPES.values())}
    tooltip = [
        {"field": "layer"},
        {"field": "text", "title": "of the peak"},
        {"field": "gmacs", "title": "GMAC/s", "format": ".3~g"},
    ]
    spec = frame_plot(300) | {
        "params": [{"name": "picked", "value": ""}],
        "layer": [
            {
                "data": {"values": roofs},
                "mark": {"type": "line", "stroke": "var(--muted)", "strokeWidth": 1.5},
                "encoding": {"x": x, "y": y, "detail": {"field": "roof", "type": "nominal"}},
            },
            {
                "data": {"values": ends},
                "mark": {"type": "text", "align": "right", "dy": -8, "fill": "var(--muted)", "fontSize": 12},
                "encoding": {"x": x, "y": y, "text": {"field": "roof"}},
            },
            {
                "data": {"values": points},
                "mark": {
                    "type": "point",
                    "size": 90,
                    "opacity": 1,
                    "strokeWidth": 2,
                    "cursor": "pointer",
                    "stroke": "var(--int8)",
                },
                "encoding": {
                    "x": x,
                    "y": y,
                    "shape": {"field": "precision", "type": "nominal", "legend": None, "scale": shapes},
                    "fill": {"condition": picked, "value": "transparent"},
                    "tooltip": tooltip,
                },
            },
        ],
    }
    told = ", ".join(f"{write_digits(height)} ({name})" for name, height in measured.items() if height)
    shown = ", ".join(f"{_SHAPES[name].partition('-')[0]}s are {name}" for name in _SHAPES if name in used)
    return Plot(
        key="plot-roofline",
        title="Arithmetic or memory?",
        description="Roofline: the speed of each layer over its arithmetic intensity, under the peaks of this device.",
        spec=spec,
        note=f"{shown[:1].upper()}{shown[1:]}. Under the slope memory bounds a layer, under the flat roof arithmetic does. The peaks "
        f"were measured in this run: {told} GMAC/s in a product of matrices, {write_digits(peaks['memory_gb_s'])} GB/s in a copy of "
        f"{write_digits(peaks['copy_bytes'] / 1e6)} MB, which is what one run reads and writes.",
    )


def _list_points(numbered: Sequence[_Numbered]) -> list[Spec]:
    return [
        {
            "key": str(number),
            "layer": name_layer(cost),
            "intensity": cost["macs"] / cost["moved_bytes"],
            "gmacs": cost["gmacs"],
            "precision": cost["precision"],
            "text": describe_roof(cost),
        }
        for number, cost in numbered
        if cost["macs"] and cost["moved_bytes"] and cost["gmacs"] and cost["precision"] in _SHAPES
    ]


def plot_sqnr(numbered: Sequence[_Numbered]) -> Plot:
    """Return how much of each layer's result is left; of many layers the lowest."""
    known = [item for item in numbered if item[1]["sqnr_db"] is not None]
    shown = sorted(sorted(known, key=lambda item: item[1]["sqnr_db"] or 0.0)[:ROWS_MAX])
    rows = _name_rows(shown)
    for row, (_, cost) in zip(rows, shown, strict=True):
        sqnr_db = cost["sqnr_db"] or 0.0
        row |= {"db": max(0.0, sqnr_db), "text": "exact" if sqnr_db >= 200.0 else f"{sqnr_db:.1f} dB"}
    several = "" if len(known) == len(shown) else f" The {len(shown)} lowest of {len(known)} layers."
    return Plot(
        key="plot-sqnr",
        title="Where does precision get lost?",
        description="SQNR of each layer's result against the float graph that was lowered; higher is better.",
        spec=draw_bars(rows, field="db", axis="SQNR in dB"),
        note="What each layer's result keeps of the float graph's, the errors of the layers before it included; on four "
        f"calibration samples, on the host.{several}",
    )


def choose_rows(layers: Sequence[LayerCost]) -> tuple[list[_Numbered], float]:
    """Return the slowest kernels in the order of execution with their numbers, and the µs of the others."""
    numbers = sorted(range(len(layers)), key=lambda index: -layers[index]["time_us"])
    shown = [(number, layers[number]) for number in sorted(numbers[:ROWS_MAX])]
    return shown, sum(layers[number]["time_us"] for number in numbers[ROWS_MAX:])


def fill_precision(name: str) -> str:
    """Return what bars of a precision are filled with; those that are rare share a pattern, and say theirs in words."""
    return FILLS.get(name, _REST)


def _name_rows(shown: Sequence[_Numbered]) -> list[Spec]:
    names = name_rows([name_kernel(cost) for _, cost in shown])
    return [
        {
            "key": str(number),
            "layer": name,
            "precision": describe_precision(cost),
            "fill": fill_precision(describe_precision(cost)),
        }
        for name, (number, cost) in zip(names, shown, strict=True)
    ]
