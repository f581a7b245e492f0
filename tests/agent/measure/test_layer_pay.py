import dataclasses
from pathlib import Path
from types import SimpleNamespace

from toolchain.agent.candidates import Candidate
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.layer_pay import describe_unpaid, find_unpaid, write_note
from toolchain.agent.measure.placement import Layer, Placement
from toolchain.agent.measure.quantiles import Ratio

INT8, FP16 = (
    Candidate(name, runtime="tensorrt", threads=1, pins_threads=False, path=path)
    for name, path in (("int8", "a"), ("fp16", "b"))
)
LAYERS = [Layer("conv", "CONVOLUTION", "int8", 8), Layer("head", "CONVOLUTION", "fp16", 8)]
SLOW = Ratio(ratio=0.5, low=0.49, high=0.51)


def describe(runtime, candidates=(INT8, FP16)):
    manifest = SimpleNamespace(candidates=candidates)
    placements = {candidate.opening: Placement(tuple(LAYERS)) for candidate in candidates}
    builds = {candidate.opening: candidate.path for candidate in candidates}
    return describe_unpaid(runtime, Path("/bundle"), manifest, placements, {}, builds)


def test_what_is_surely_not_faster_does_not_pay_and_what_may_be_does():
    ratios = {
        "slow": SLOW,
        "alike": Ratio(1.0, 0.999, 1.001),
        "open": Ratio(1.0, 0.8, 1.3),
        "fast": Ratio(1.5, 1.4, 1.6),
        "unknown": Ratio(None, None, None),
    }
    assert set(find_unpaid(ratios)) == {"slow", "alike"}


def test_the_layers_in_int8_are_compared_with_the_next_precision():
    asked = []

    def compare_layers(paths, feeds, *, builds, layers):
        asked.append((paths, builds, layers))
        return {"conv": SLOW}

    (note,) = describe(SimpleNamespace(compare_layers=compare_layers))
    assert asked == [([Path("/bundle/a"), Path("/bundle/b")], ["a", "b"], ["conv"])]
    assert 'keep_float = ["conv"]' in note


def test_a_runtime_without_times_of_layers_and_an_int8_without_a_next_say_nothing():
    runtime = SimpleNamespace(compare_layers=lambda *_, **__: {"conv": SLOW})
    assert describe(SimpleNamespace()) == ()
    assert describe(runtime, [INT8]) == describe(runtime, [FP16, INT8]) == ()
    assert describe(runtime, [INT8, dataclasses.replace(FP16, path="a")]) == ()


def test_times_that_cannot_be_taken_are_a_note():
    def compare_layers(*_, **__):
        raise ToolchainError(ExitCode.INCOMPATIBLE, "no memory", found="0 MiB", fix="free some")

    assert describe(SimpleNamespace(compare_layers=compare_layers)) == (
        "the layers of int8 were not timed: no memory: 0 MiB",
    )


def test_names_that_cannot_be_printed_are_escaped_and_many_are_counted():
    (note,) = write_note(dict.fromkeys((f"layer\x1b[{index}" for index in range(30)), SLOW), "fp16")
    assert note.isprintable()
    assert "30 layers do not pay" in note
    assert "and 10 more" in note
    assert write_note({}, "fp16") == ()
