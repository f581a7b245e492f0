"""The measurement on a made clock: nothing here depends on how long anything takes."""

import math
import random

import pytest

from toolchain.agent.latency import Stopwatch, is_conclusive, is_faster, measure_latency
from toolchain.agent.quantiles import Ratio


class Board:
    """A clock, and payloads that let it advance: with noise, a common drift of the board, and hiccups."""

    def __init__(self, seed, *, noise=0.05, hiccups=0.02):
        self.now_ns = 0
        self.log = []
        self._rng = random.Random(seed)
        self._noise = noise
        self._hiccups = hiccups

    def read_clock(self):
        return self.now_ns

    def make_run(self, name, run_ms):
        def run():
            drift = 1.0 + 0.2 * math.sin(self.now_ns / 3e8)
            noise = self._rng.lognormvariate(0.0, self._noise)
            hiccup = 3.0 if self._rng.random() < self._hiccups else 1.0
            self.now_ns += int(run_ms * 1e6 * drift * noise * hiccup)
            self.log.append(name)

        return run

    def measure(self, runs_ms, **options):
        runs = {name: self.make_run(name, run_ms) for name, run_ms in runs_ms.items()}
        return measure_latency(runs, clock=self.read_clock, **options)


EXPERIMENTS = 100


def test_two_equal_payloads_raise_no_alarm():
    alarms = 0
    for seed in range(EXPERIMENTS):
        ratio = Board(seed).measure({"a": 0.5, "b": 0.5}, samples=300).compare("a", "b")
        alarms += not ratio.low <= 1.0 <= ratio.high
    assert alarms / EXPERIMENTS <= 0.05


def test_a_slowdown_of_five_percent_is_seen():
    seen = 0
    for seed in range(EXPERIMENTS):
        ratio = Board(seed).measure({"slow": 0.525, "fast": 0.5}, samples=1000).compare("slow", "fast")
        seen += is_faster(ratio) and ratio.low <= 1.05 <= ratio.high
    assert seen / EXPERIMENTS >= 0.95


def test_a_difference_that_two_sessions_of_one_model_have_is_no_speedup():
    ratio = Board(1, noise=0.001, hiccups=0.0).measure({"a": 0.504, "b": 0.5}, samples=5000).compare("a", "b")
    assert ratio.low > 1.0
    assert not is_faster(ratio)


def test_a_quiet_board_gives_the_samples_that_were_asked_for():
    measurement = Board(1, noise=0.01, hiccups=0.0).measure({"a": 0.5, "b": 0.7, "c": 0.6})
    latencies = [measurement.summarize(name) for name in "abc"]
    assert min(latency.samples for latency in latencies) in range(1000, 1040)
    assert all(latency.steady and latency.p99_upper_ms is not None for latency in latencies)


def test_every_recorded_run_is_kept_and_one_run_before_each_block_is_not():
    board = Board(2)
    measurement = board.measure({"a": 0.5, "b": 0.5}, samples=300)
    blocks = measurement.blocks_ns["a"]
    after_warm_up = board.log[-sum(len(block) + 1 for name in "ab" for block in measurement.blocks_ns[name]) :]
    assert after_warm_up.count("a") == sum(map(len, blocks)) + len(blocks)
    assert measurement.list_samples_ms("a") == [sample / 1e6 for block in blocks for sample in block]


def test_payloads_take_turns_and_none_is_always_first():
    board = Board(3)
    measurement = board.measure({"a": 0.5, "b": 0.5, "c": 0.5}, samples=30)
    length = len(measurement.blocks_ns["a"][0]) + 1
    rounds = len(measurement.blocks_ns["a"])
    turns = "".join(board.log[-3 * length * rounds :: length])
    assert {"".join(sorted(turns[start : start + 3])) for start in range(0, len(turns), 3)} == {"abc"}
    assert set(turns[::3]) == set("abc")


def test_a_payload_that_never_settles_is_not_steady():
    board = Board(4)
    growing = [1.0]

    def run():
        growing[0] *= 1.05
        board.now_ns += int(1e6 * growing[0])

    runs = {"growing": run, "even": board.make_run("even", 1.0)}
    measurement = measure_latency(runs, samples=30, limit_s=5.0, clock=board.read_clock)
    assert not measurement.steady["growing"]
    assert measurement.steady["even"]


def test_a_slow_payload_gets_fewer_samples_but_enough_for_a_median():
    latency = Board(5, hiccups=0.0).measure({"a": 2000.0, "b": 1000.0}, limit_s=20.0).summarize("a")
    assert latency.samples == 11
    assert latency.p50_ms is not None
    assert latency.p90_ms is None


def test_a_noisy_board_is_measured_on_until_the_interval_is_narrow():
    quiet = Board(6, noise=0.02, hiccups=0.0).measure({"a": 30.0, "b": 30.0}, samples=30)
    noisy = Board(6, noise=0.35, hiccups=0.0).measure({"a": 30.0, "b": 30.0}, samples=30, limit_s=60.0)
    assert len(noisy.blocks_ns["a"]) > len(quiet.blocks_ns["a"])
    assert is_conclusive(noisy.compare("a", "b"))


def test_noise_without_end_stops_at_the_limit():
    board = Board(7, noise=1.0, hiccups=0.0)
    measurement = board.measure({"a": 10.0, "b": 10.0}, samples=30, limit_s=10.0)
    assert not is_conclusive(measurement.compare("a", "b"))
    assert 10e9 <= board.now_ns < 11e9


def test_progress_never_goes_back_and_ends_at_all():
    seen = []
    board = Board(8)
    runs = {"a": board.make_run("a", 1.0), "b": board.make_run("b", 2.0)}
    measure_latency(runs, on_progress=lambda done, total: seen.append((done, total)), clock=board.read_clock)
    assert seen == sorted(seen)
    assert seen[-1] == (100, 100)
    assert len(seen) > 10


def test_one_payload_alone_can_be_measured():
    assert Board(9).measure({"a": 0.5}).summarize("a").samples >= 1000


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (Ratio(ratio=2.0, low=1.71, high=2.29), True),
        (Ratio(ratio=2.0, low=1.6, high=2.3), False),
        (Ratio(ratio=2.0, low=None, high=None), False),
        (Ratio(ratio=None, low=None, high=None), False),
    ],
)
def test_a_ratio_is_conclusive_within_fifteen_percent(ratio, expected):
    assert is_conclusive(ratio) is expected


def test_a_stopwatch_reads_seconds_since_it_was_made():
    readings = iter([5_000_000_000, 5_000_000_000, 7_500_000_000])
    stopwatch = Stopwatch(clock=lambda: next(readings))
    assert [stopwatch.read_s(), stopwatch.read_s()] == [0.0, 2.5]
