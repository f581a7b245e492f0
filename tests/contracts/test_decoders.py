"""What every decoder holds; a new one is found by its file, and its batches by `draw` and `OPTIONS` of its own test."""

import importlib
import types

import numpy as np
import pytest

from tests.contracts.claims import pair_claims
from tests.contracts.outside import use_members
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.checked_decoder import CheckedDecoder
from toolchain.agent.measure.decoders import argmax_mask, find_decoder, list_decoders
from toolchain.agent.measure.targets import Ragged, slice_target
from toolchain.project.seams import DECODERS

COUNT = 6
use_members(DECODERS)


def find_test(name):
    return importlib.import_module(f"tests.agent.measure.decoders.test_{name}")


def start(name):
    return find_decoder(name, find_test(name).OPTIONS)


def sample(test, count=COUNT):
    """Return outputs and inputs of so many samples, by the decoder's own test."""
    return test.draw(np.random.default_rng(4), count)


def cut(arrays, begin, stop):
    return {name: array[begin:stop] for name, array in arrays.items()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, rows in expected.items():
        assert isinstance(found[name], Ragged) is isinstance(rows, Ragged)
        pairs = vars(rows).items() if isinstance(rows, Ragged) else [("values", rows)]
        for part, array in pairs:
            other = getattr(found[name], part) if isinstance(rows, Ragged) else found[name]
            assert other.dtype == array.dtype
            np.testing.assert_allclose(other, array, rtol=1e-6, atol=1e-6)


def refuse(call):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert caught.value.code is ExitCode.MALFORMED
    assert caught.value.fix, "an error without a fix"


def check_it_makes_what_it_says(decoder, test):
    made = decoder.decode(*sample(test))
    assert tuple(made) == decoder.OUTPUTS
    assert {len(rows) for rows in made.values()} == {COUNT}


def check_batches_do_not_matter(decoder, test):
    outputs, inputs = sample(test)
    whole = decoder.decode(outputs, inputs)
    for begin in range(COUNT):
        one = decoder.decode(cut(outputs, begin, begin + 1), cut(inputs, begin, begin + 1))
        assert_same(one, {name: slice_target(rows, begin, begin + 1) for name, rows in whole.items()})


def check_an_empty_batch_is_one(decoder, test):
    outputs, inputs = sample(test)
    made = decoder.decode(cut(outputs, 0, 0), cut(inputs, 0, 0))
    assert {len(rows) for rows in made.values()} == {0}


def check_inputs_stay_as_they_are(decoder, test):
    outputs, inputs = sample(test)
    for array in (*outputs.values(), *inputs.values()):
        array.setflags(write=False)
    decoder.decode(outputs, inputs)


def check_numbers_that_are_none_are_survived(decoder, test):
    outputs, inputs = sample(test)
    for value in (np.nan, np.inf, -np.inf, np.finfo(np.float32).max):
        spoilt = {
            name: np.full_like(array, value) if array.dtype.kind == "f" else array for name, array in outputs.items()
        }
        made = decoder.decode(spoilt, inputs)
        assert {len(rows) for rows in made.values()} == {COUNT}


def check_what_is_read_is_needed(decoder, test):
    outputs, inputs = sample(test)
    read = decoder.list_read(list(outputs))
    assert read
    refuse(lambda: decoder.decode({}, inputs))
    for name in read if len(read) > 1 else ():
        rest = {key: array for key, array in outputs.items() if key != name}
        refuse(lambda rest=rest: decoder.decode(rest, inputs))
    assert_same(decoder.decode({name: outputs[name] for name in read}, inputs), decoder.decode(outputs, inputs))


def check_answers_are_among_those_that_it_tells_of(decoder, test):
    outputs, inputs = sample(test)
    made, classes, letters = decoder.decode(outputs, inputs), decoder.count_classes(outputs), decoder.list_letters()
    for name in {"classes", "mask", "tags"} & made.keys() if classes is not None else ():
        numbers = made[name].values if isinstance(made[name], Ragged) else made[name]
        assert numbers.max(initial=0) < classes
    if letters is not None:
        assert set(bytes(made["text"].values).decode()) <= set(letters)


def check_wrong_shapes_are_refused(decoder, test):
    outputs, inputs = sample(test)
    for name in decoder.list_read(list(outputs)):
        for wrong in (np.zeros(()), np.zeros((COUNT, 2, 3, 5, 7, 2), np.float32), outputs[name].astype(complex)):
            refuse(lambda changed={**outputs, name: wrong}: decoder.decode(changed, inputs))


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]


@pytest.mark.parametrize(("check", "name"), pair_claims(CHECKS, list_decoders()))
def test_a_decoder_holds_the_contract(check, name):
    check(start(name), find_test(name))


class Broken:
    """A decoder of masks with something wrong in it."""

    def __init__(self, kind):
        self.kind, self.good = kind, argmax_mask.start(argmax_mask.Options())
        self.calls = 0

    def count_classes(self, outputs):
        return 1 if self.kind == "tells of fewer classes" else None

    def list_read(self, outputs):
        return [] if self.kind == "reads nothing" else outputs if self.kind == "reads all" else outputs[:1]

    def decode(self, outputs, inputs):
        self.calls += 1
        array = next(iter(outputs.values()), np.zeros((0, 3, 1, 1)))
        if self.kind == "writes into its inputs":
            array[:] = 0
        if self.kind == "takes what it cannot read" and (not outputs or array.ndim != 4 or array.dtype.kind != "f"):
            return {"mask": np.zeros((COUNT, 1, 1), np.int32)}
        if self.kind == "falls over NaN" and np.isnan(array).any():
            raise FloatingPointError
        if self.kind == "needs a sample" and not len(array):
            raise IndexError
        mask = self.good.decode(outputs, inputs)["mask"]
        return {
            "makes another": {"masks": mask},
            "loses a sample": {"mask": mask[:-1]},
            "remembers": {"mask": mask * self.calls},
        }.get(self.kind, {"mask": mask})


def make_broken(kind):
    module = types.SimpleNamespace(OUTPUTS=("mask",), Options=argmax_mask.Options, start=lambda _: Broken(kind))
    return CheckedDecoder("broken", module, {})


def fails(check, kind):
    try:
        check(make_broken(kind), find_test("argmax_mask"))
    except (AssertionError, pytest.fail.Exception, ToolchainError, ValueError):
        return True
    return False


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("makes another", check_it_makes_what_it_says),
        ("loses a sample", check_it_makes_what_it_says),
        ("remembers", check_batches_do_not_matter),
        ("needs a sample", check_an_empty_batch_is_one),
        ("writes into its inputs", check_inputs_stay_as_they_are),
        ("falls over NaN", check_numbers_that_are_none_are_survived),
        ("reads nothing", check_what_is_read_is_needed),
        ("reads all", check_what_is_read_is_needed),
        ("takes what it cannot read", check_what_is_read_is_needed),
        ("tells of fewer classes", check_answers_are_among_those_that_it_tells_of),
        ("takes what it cannot read", check_wrong_shapes_are_refused),
    ],
)
def test_a_broken_decoder_fails_the_suite(kind, check):
    assert fails(check, kind)


def test_every_check_has_a_member_that_passes_it():
    assert [check.__name__ for check in CHECKS if fails(check, "good")] == []


def test_every_decoder_of_classes_or_letters_tells_of_them_but_where_the_graph_has_made_the_boxes():
    told = {
        name for name in list_decoders()
        if start(name).count_classes(sample(find_test(name))[0]) or start(name).list_letters()
    }  # fmt: skip
    lists = {name for name in list_decoders() if {"classes", "mask", "tags", "text"} & set(start(name).OUTPUTS)}
    assert lists - told == {"detections"}


@pytest.mark.parametrize(("name", "fix"), [("yol", "write yolo"), ("../yolo", ""), ("__init__", ""), ("x.y", "")])
def test_an_unknown_name_is_a_usage_error_that_lists_the_known(name, fix):
    with pytest.raises(ToolchainError) as caught:
        find_decoder(name, {})
    assert caught.value.code is ExitCode.USAGE
    assert all(known in caught.value.expected for known in list_decoders())
    assert fix in caught.value.fix


@pytest.mark.parametrize("name", list_decoders())
def test_an_option_that_no_decoder_has_is_refused(name):
    with pytest.raises(ToolchainError, match="no option") as caught:
        find_decoder(name, {**find_test(name).OPTIONS, "zzz": 1})
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)
