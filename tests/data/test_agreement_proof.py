import numpy as np
import pytest

from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.scoring import Scoring
from toolchain.agent.measure.targets import Ragged
from toolchain.data.agreement_proof import judge_own_answers
from toolchain.errors import ExitCode, ToolchainError


def judge(metric, read, answer, *, samples=100, drop_max=None):
    return judge_own_answers(
        Scoring(metric, find_metric(metric)), read, answer, samples=samples, drop_max=drop_max, where="the data"
    )


def read_class(labels):
    return lambda index: {"scores": np.eye(4)[[labels[index]]]}


def choose_class(read):
    return {"labels": read["scores"].argmax(axis=1)}


def read_text(texts):
    def read(index):
        data = np.frombuffer(texts[index % len(texts)].encode(), np.uint8)
        return {"text": Ragged(values=data, offsets=np.array([0, len(data)]))}

    return read


def read_boxes(count):
    def read(index):
        rows = int(index < count)
        corner = np.array([[index % 10, index // 10, index % 10 + 5, index // 10 + 5]], np.float32)[:rows]
        offsets = np.array([0, rows])
        arrays = {"boxes": corner, "scores": np.full(rows, 0.9, np.float32), "classes": np.full(rows, index % 3)}
        return {name: Ragged(values=array, offsets=offsets) for name, array in arrays.items()}

    return read


def take_boxes(read):
    return {name: read[name] for name in ("boxes", "classes")}


def refuse(*arguments, **options):
    with pytest.raises(ToolchainError) as caught:
        judge(*arguments, **options)
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)
    return caught.value.what


def test_answers_that_differ_are_a_truth():
    assert judge("top1", read_class(np.arange(100) % 4), choose_class) == []
    assert judge("cer", read_text(["one", "seventeen", "four hundred", "x"]), lambda read: read) == []
    assert judge("map", read_boxes(100), take_boxes) == []


def test_one_class_for_all_is_none():
    assert "alike" in refuse("top1", read_class(np.zeros(100, int)), choose_class)


@pytest.mark.parametrize("others", [0, 4, 9])
def test_a_class_that_the_gate_would_take_for_all_is_none(others):
    labels = np.arange(100) < others
    assert "alike" in refuse("top1", read_class(labels.astype(int)), choose_class)


def test_a_stricter_gate_proves_more():
    labels = (np.arange(100) < 9).astype(int)
    assert judge("top1", read_class(labels), choose_class, drop_max=0.05) == []


def test_the_same_text_for_all_is_none():
    assert "alike" in refuse("cer", read_text(["one"]), lambda read: read)


def test_no_text_and_no_detection_at_all_is_none():
    assert "no answers" in refuse("cer", read_text([""]), lambda read: read)
    assert "no answers" in refuse("map", read_boxes(0), take_boxes)


def test_a_metric_without_a_range_needs_a_limit():
    read = lambda index: {"y": np.array([[float(index)]])}  # noqa: E731 - a line each
    assert "by how much" in refuse("mae", read, lambda found: {"values": found["y"]})
    assert judge("mae", read, lambda found: {"values": found["y"]}, drop_max=0.1) == []
