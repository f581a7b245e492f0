"""Makes LOG.json: a single-stream log of MLCommons' own load generator, and what it says of it.

    pip install mlcommons-loadgen numpy && python make_log.py LOG.json

The system under test takes lognormal times. latencies_ns are those of its trace, in order of the queries; the
rest stands in mlperf_log_summary.txt: its percentiles, and its early-stopping estimates (upper bounds at 99 %).
"""

import json
import re
import sys
import time
from pathlib import Path

import mlperf_loadgen as loadgen
import numpy as np

QUERIES = 2000


def main() -> None:
    rng = np.random.default_rng(7)

    def issue(samples):
        for sample in samples:
            end_ns = time.perf_counter_ns() + int(2e5 * rng.lognormal(0.0, 0.3))
            while time.perf_counter_ns() < end_ns:
                pass
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(sample.id, 0, 0)])

    settings = loadgen.TestSettings()
    settings.scenario = loadgen.TestScenario.SingleStream
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_query_count = settings.max_query_count = QUERIES
    settings.min_duration_ms = 0
    output = loadgen.LogOutputSettings()
    output.outdir = "."
    logs = loadgen.LogSettings()
    logs.log_output = output
    logs.enable_trace = True
    sut = loadgen.ConstructSUT(issue, lambda: None)
    qsl = loadgen.ConstructQSL(64, 64, lambda _: None, lambda _: None)
    loadgen.StartTestWithLogSettings(sut, qsl, settings, logs)
    loadgen.DestroyQSL(qsl)
    loadgen.DestroySUT(sut)
    trace = Path("mlperf_log_trace.json").read_text()
    summary = Path("mlperf_log_summary.txt").read_text()
    percentiles = re.findall(r"^([0-9.]+) percentile latency \(ns\) *: ([0-9]+)$", summary, re.MULTILINE)
    estimates = re.findall(r"Early stopping ([0-9.]+)th percentile estimate: ([0-9]+)", summary)
    document = {
        "latencies_ns": [int(ns) for ns in re.findall(r'"complete_ns":([0-9]+)', trace)],
        "percentiles_ns": {f"p{float(name):g}": int(value) for name, value in percentiles},
        "early_stopping_ns": {f"p{float(name):g}": int(value) for name, value in estimates},
    }
    Path(sys.argv[1]).write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
