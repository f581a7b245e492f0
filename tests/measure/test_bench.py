import io
import os
from dataclasses import asdict

import numpy as np
import onnx
import pytest

from tests.measure.shipping import ship
from toolchain.agent.measure.quantiles import Ratio
from toolchain.errors import ExitCode, ToolchainError
from toolchain.measure.bench import bench_payloads, print_bench
from toolchain.measure.payload import confine_payloads, read_data
from toolchain.run.confine import limits
from toolchain.run.progress import Progress


def bench(*paths, on_progress=lambda step, done, total: None):
    return bench_payloads(paths, data=None, threads=None, on_progress=on_progress)


def test_every_payload_has_a_row_and_the_first_is_the_reference(make_bundle, write_model, monkeypatch, tmp_path):
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path / "cache"))
    bundle, path = make_bundle(), write_model("float32")
    steps = []
    rows = bench(bundle, path, bundle, on_progress=lambda *step: steps.append(step))
    assert [row["payload"] for row in rows] == [str(bundle), str(path), str(bundle)]
    assert rows[0]["speedup"] is None
    for row in rows[1:]:
        assert 0 < row["speedup"]["low"] <= row["speedup"]["ratio"] <= row["speedup"]["high"]
    assert [row["candidate"] for row in rows] == ["int8", None, "int8"]
    for row in rows:
        assert row["threads"] == 1
        assert row["latency"]["samples"] >= 11  # what p50 needs
        assert 0 < row["latency"]["p50_ms"] <= row["latency"]["p50_upper_ms"]
    assert steps[-1] == ("latency", 100, 100)


def test_of_a_bundle_what_ships_is_measured(make_bundle, monkeypatch, tmp_path):
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path / "cache"))
    ways = [(1, False), (2, False), *([(2, True)] if len(os.sched_getaffinity(0)) > 1 else [])]
    bundle = make_bundle(ways=ways)
    name = ship(bundle, len(ways) - 1)
    (row,) = bench(bundle)
    assert (row["candidate"], row["is_shipped"], row["threads"], row["pins_threads"]) == (name, True, *ways[-1])


def test_without_data_nothing_is_measured(write_model):
    with pytest.raises(ToolchainError) as caught:
        bench(write_model("float32"))
    assert caught.value.code == ExitCode.USAGE


def write_loop(path, trips):
    """Write a model that counts in a loop, and data for it."""
    parts = f"""<ir_version: 8, opset_import: ["" : 17]>
        agraph (float[n] input) => (float[n] out) <int64 lim = {{{trips}}}, bool yes = {{1}}> {{
            out = Loop <body = b (int64 i, bool c, float[n] x) => (bool co, float[n] xo) {{
                co = Less (i, lim)
                xo = Relu (x)
            }}> ("", yes, input)
        }}"""
    onnx.save(onnx.parser.parse_model(parts), path)
    np.savez(path.with_suffix(".npz"), input=np.ones((1, 1), np.float32))


@pytest.mark.parametrize(("trips", "ends"), [(3, True), (2**62, False)])
def test_a_model_whose_run_never_ends_is_refused_at_the_limit_of_a_step(tmp_path, monkeypatch, trips, ends):
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(limits, "_STEP_BASE_S", 1.0)
    path = tmp_path / "loop.onnx"
    write_loop(path, trips)

    def work(on_progress):
        return bench_payloads([path], data=read_data(path.with_suffix(".npz")), threads=1, on_progress=on_progress)

    if ends:
        assert (
            confine_payloads([path], work, progress=Progress(stream=io.StringIO(), quiet=True))[0]["latency"]["samples"]
            > 0
        )
        return
    with pytest.raises(ToolchainError, match="takes too long") as caught:
        confine_payloads([path], work, progress=Progress(stream=io.StringIO(), quiet=True))
    assert caught.value.code == ExitCode.MALFORMED
    assert "a run of one sample" in caught.value.found


LATENCY = {
    "p50_ms": 1.5,
    "p50_upper_ms": 1.6,
    "p90_ms": 2.0,
    "p90_upper_ms": 2.25,
    "p99_ms": None,
    "p99_upper_ms": None,
    "samples": 100,
}


def test_the_table_shows_bounds_and_speedups_and_a_dash_for_what_is_not_proven():
    own = {"candidate": None, "is_shipped": False, "threads": 2, "pins_threads": False}
    rows = [
        {"payload": "dist/a/rather/long/path/" * 4, **own, "latency": LATENCY, "speedup": None},
        {"payload": "b", **own, "latency": LATENCY, "speedup": asdict(Ratio(2.0, 1.9, 2.1, note="[two] speeds"))},
        {"payload": "c", **own, "latency": LATENCY, "speedup": asdict(Ratio(2.0, None, None))},
        {
            "payload": "d",
            **own,
            "candidate": "int8",
            "is_shipped": True,
            "latency": LATENCY,
            "speedup": asdict(Ratio(None, None, None)),
        },
    ]
    stream = io.StringIO()
    print_bench(rows, stream=stream)
    lines = [" ".join(line.split()) for line in stream.getvalue().splitlines()]
    assert lines[1] == f"{'dist/a/rather/long/path/' * 4} 1.5 (≤ 1.6) 2 (≤ 2.25) - 100 reference"
    assert lines[2] == "b 1.5 (≤ 1.6) 2 (≤ 2.25) - 100 ×2.00 (1.90–2.10)"
    assert lines[3].endswith("100 ×2.00")
    assert lines[4].endswith("100 -")
    assert lines[5:] == ["b: [two] speeds", "int8 of d, which ships; on 2 threads"]
