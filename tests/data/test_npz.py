import io
import zipfile

import numpy as np
import pytest

from toolchain.data import load_dataset, npz
from toolchain.data.dataset import find_labels
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project import npz_file
from toolchain.project.stored_rows import StoredRows


def write(path, **arrays):
    np.savez(path, **arrays)
    return {"path": str(path)}


def refuse(options):
    with pytest.raises(ToolchainError) as caught:
        load_dataset("npz", options)
    return caught.value


NO_NUMBERS = {
    "texts": np.array(["a.png", "b.png"]),
    "bytes": np.array([b"a", b"b"]),
    "dates": np.array([0, 1], dtype="datetime64[D]"),
    "complex numbers": np.ones((2, 3), dtype=np.complex64),
    "long doubles": np.ones((2, 3), dtype=np.longdouble),
    "another byte order": np.ones((2, 3), dtype=np.dtype(np.float32).newbyteorder("S")),
}


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_an_input_that_no_model_takes_is_refused_by_its_type(tmp_path, kind):
    error = refuse(write(tmp_path / "a.npz", x=NO_NUMBERS[kind]))
    assert (error.code, error.what) == (ExitCode.USAGE, "an input has a type that no model takes")
    assert error.found == str(NO_NUMBERS[kind].dtype)


@pytest.mark.parametrize("dtype", ["float16", "float64", "bool", "uint8", "uint64", "int16"])
def test_an_input_of_numbers_is_taken(tmp_path, dtype):
    load_dataset("npz", write(tmp_path / "a.npz", x=np.ones((2, 3), dtype=dtype)))


def test_one_file_serves_calibration_and_evaluation(tmp_path):
    options = write(
        tmp_path / "a.npz",
        ids=np.arange(6).reshape(3, 2),
        mask=np.ones((3, 4), dtype=np.float16),
        labels=np.array([2, 0, 1], dtype=np.int8),
    )
    dataset = load_dataset("npz", options)
    batch = dataset.calibration.batch(1, 3)
    assert batch["ids"].tolist() == [[2, 3], [4, 5]]
    assert batch["mask"].dtype == np.float16
    assert set(batch) == {"ids", "mask"}
    assert dataset.evaluation.targets["labels"].tolist() == [2, 0, 1]
    assert dataset.evaluation.targets["labels"].dtype == np.int64
    assert len(dataset.evaluation) == 3
    assert dataset.train is None


def test_labels_are_optional(tmp_path):
    assert load_dataset("npz", write(tmp_path / "a.npz", x=np.zeros((2, 3)))).evaluation.targets == {}


def test_the_option_evaluation_names_another_file(tmp_path):
    write(tmp_path / "b.npz", x=np.ones((5, 3)))
    options = write(tmp_path / "a.npz", x=np.zeros((2, 3))) | {"evaluation": str(tmp_path / "b.npz")}
    dataset = load_dataset("npz", options)
    assert (len(dataset.calibration), len(dataset.evaluation)) == (2, 5)
    assert dataset.calibration.sha256 != dataset.evaluation.sha256


def test_two_files_whose_arrays_lie_in_another_order_are_read_in_one(tmp_path):
    write(tmp_path / "b.npz", y=np.ones((5, 3)), x=np.zeros((5, 3)))
    options = write(tmp_path / "a.npz", x=np.zeros((2, 3)), y=np.ones((2, 3)))
    dataset = load_dataset("npz", options | {"evaluation": str(tmp_path / "b.npz")})
    assert list(dataset.calibration.batch(0, 1)) == list(dataset.evaluation.batch(0, 1)) == ["x", "y"]
    assert dataset.evaluation.batch(0, 1)["y"].tolist() == [[1.0, 1.0, 1.0]]


@pytest.mark.parametrize(("count", "halves"), [(16, (8, 8)), (17, (9, 8)), (15, (15, 15))])
def test_one_file_is_halved_where_it_is_asked_for_and_has_16_samples(tmp_path, count, halves):
    options = write(tmp_path / "a.npz", x=np.arange(float(count)))
    dataset = load_dataset("npz", options | {"split": True})
    assert (len(dataset.calibration), len(dataset.evaluation)) == halves
    whole = load_dataset("npz", options)
    assert (len(whole.calibration), len(whole.evaluation)) == (count, count)


def test_a_file_for_the_evaluation_beside_a_split_is_refused(tmp_path):
    options = write(tmp_path / "a.npz", x=np.zeros((20, 3)))
    assert refuse(options | {"split": True, "evaluation": options["path"]}).where == "data.options.split"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_input_that_is_no_number_is_named_with_its_sample(tmp_path, value):
    x = np.ones((4, 3))
    x[2, 1] = value
    error = refuse(write(tmp_path / "a.npz", x=x))
    assert error.found == f"{value} in sample 2; 1 of 4 samples"


def test_two_files_with_other_inputs_are_refused(tmp_path):
    write(tmp_path / "b.npz", y=np.ones((5, 3)))
    options = write(tmp_path / "a.npz", x=np.zeros((2, 3))) | {"evaluation": str(tmp_path / "b.npz")}
    assert refuse(options).code is ExitCode.USAGE


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"labels": np.zeros(3, dtype=np.int64)},
        {"x": np.zeros((0, 3))},
        {"x": np.float32(1)},
        {"x": np.zeros((2, 3)), "y": np.zeros((3, 3))},
        {"x": np.zeros((2, 3)), "labels": np.zeros(3, dtype=np.int64)},
        {"x": np.zeros((2, 3)), "labels": np.zeros(2)},
        {"x": np.zeros((2, 3)), "labels": np.zeros((2, 1), dtype=np.int64)},
        {"x": np.array([[0.0, np.nan]])},
    ],
)
def test_arrays_that_do_not_fit_are_a_usage_error(tmp_path, arrays):
    assert refuse(write(tmp_path / "a.npz", **arrays)).code is ExitCode.USAGE


def test_infinity_is_a_number(tmp_path):
    mask = np.array([[0.0, -np.inf]])
    assert np.array_equal(
        load_dataset("npz", write(tmp_path / "a.npz", mask=mask)).calibration.batch(0, 1)["mask"], mask
    )


def test_a_missing_file_is_exit_3(tmp_path):
    assert refuse({"path": str(tmp_path / "none.npz")}).code is ExitCode.MISSING


def good():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.arange(3000))
    return buffer.getvalue()


def zipped(name, content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def lying_header():
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**13,)})
    return zipped("x.npy", buffer.getvalue())


def bare_array():
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 3)))
    return buffer.getvalue()


CORRUPT = {
    "empty": b"",
    "no archive": b"not an archive",
    "half a file": good()[: len(good()) // 2],
    "damaged inside": good()[:100] + bytes(50) + good()[150:],
    "a broken array": zipped("x.npy", b"\x93NUMPY broken"),
    "a header that opens more brackets than it closes": zipped("x.npy", b"\x93NUMPY\x01\x00\x12\x00{'shape':((1000,),"),
    "no array": zipped("x.txt", b"hello"),
    "terabytes declared": lying_header(),
    "a bare array": bare_array(),
    "a pickle": b"\x80\x04K\x01.",
}


@pytest.mark.parametrize("content", CORRUPT.values(), ids=CORRUPT.keys())
def test_a_corrupt_file_is_exit_23_and_named(tmp_path, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    error = refuse({"path": str(path)})
    assert error.code is ExitCode.MALFORMED
    assert str(path) in error.where


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_inside_is_refused_and_not_run(tmp_path):
    trace = tmp_path / "trace"
    path = tmp_path / "a.npz"
    np.savez(path, x=np.array([Trap(str(trace))], dtype=object))
    assert refuse({"path": str(path)}).code is ExitCode.MALFORMED
    assert not trace.exists()


def test_labelled_pictures_train_where_the_evaluation_is_another_file(tmp_path):
    labels = np.array([2, 0, 1])
    write(tmp_path / "b.npz", input=np.ones((3, 1, 4, 4)), labels=labels)
    options = write(tmp_path / "a.npz", input=np.arange(48.0).reshape(3, 1, 4, 4), labels=labels)
    assert load_dataset("npz", options).train is None  # they are the evaluation as well
    train = load_dataset("npz", options | {"evaluation": str(tmp_path / "b.npz")}).train
    assert train.take(np.array([2, 0]))["input"][:, 0, 0, 0].tolist() == [32.0, 0.0]
    assert train.targets["labels"].tolist() == [2, 0, 1]


@pytest.mark.parametrize("shape", [(3, 1, 4, 4), (3, 5), (3,)])
@pytest.mark.parametrize("labelled", [True, False])
def test_labelled_arrays_of_any_shape_can_be_trained_on_and_others_cannot(tmp_path, shape, labelled):
    arrays = {"x": np.zeros(shape)} | ({"labels": np.zeros(3, dtype=int)} if labelled else {})
    write(tmp_path / "b.npz", **arrays)
    options = write(tmp_path / "a.npz", **arrays) | {"evaluation": str(tmp_path / "b.npz")}
    assert (load_dataset("npz", options).train is not None) is labelled


def test_targets_are_named_and_no_inputs(tmp_path):
    options = write(tmp_path / "a.npz", x=np.zeros((3, 2)), points=np.ones((3, 4)), labels=np.zeros((3, 2)))
    samples = load_dataset("npz", {**options, "targets": ["points"]}).evaluation
    assert set(samples.targets) == {"points"}
    assert set(samples.batch(0, 1)) == {"x", "labels"}


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64])
def test_labels_may_be_sets_of_classes(tmp_path, dtype):
    sets = np.array([[0, 1], [1, 1], [0, 0]], dtype)
    samples = load_dataset("npz", write(tmp_path / "a.npz", x=np.zeros((3, 2)), labels=sets)).evaluation
    assert samples.targets["labels"].tolist() == [[0, 1], [1, 1], [0, 0]]
    assert find_labels(samples) is None


@pytest.mark.parametrize(
    "sets", [np.array([[0, 2]] * 3), np.zeros((3, 2)), np.zeros((3, 1), int), np.zeros((3, 2, 2), int)]
)
def test_labels_that_are_neither_classes_nor_sets_are_refused(tmp_path, sets):
    error = refuse(write(tmp_path / "a.npz", x=np.zeros((3, 2)), labels=sets))
    assert (error.code, error.what) == (ExitCode.USAGE, "the labels are not classes")


def test_a_ragged_target_is_two_arrays_and_is_halved_with_its_samples(tmp_path):
    counts = np.arange(20) % 3
    offsets = np.cumsum([0, *counts])
    values = np.repeat(np.arange(20), counts)[:, None]
    arrays = {"x": np.arange(20.0), "boxes.values": values, "boxes.offsets": offsets}
    options = {**write(tmp_path / "a.npz", **arrays), "targets": ["boxes"], "split": True}
    dataset = load_dataset("npz", options)
    for part in (dataset.calibration, dataset.evaluation):
        for index, sample in enumerate(part.batch(0, len(part))["x"].astype(int)):
            assert part.targets["boxes"].read(index).ravel().tolist() == [sample] * counts[sample]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "no target boxes"),
        ({"boxes.values": np.zeros((5, 4))}, "boxes.values"),
        ({"boxes.values": np.zeros((5, 4)), "boxes.offsets": np.array([0, 1, 2, 6])}, "boxes.offsets"),
        ({"boxes.values": np.zeros((5, 4)), "boxes.offsets": np.array([0, 5])}, "boxes.offsets"),
        ({"boxes": np.zeros((2, 4))}, "boxes 2"),
        ({"boxes": np.array(["a", "b", "c"])}, "boxes"),
    ],
)
def test_a_target_that_is_not_one_for_every_sample_is_exit_2(tmp_path, changes, word):
    options = {**write(tmp_path / "a.npz", x=np.zeros((3, 2)), **changes), "targets": ["boxes"]}
    with pytest.raises(ToolchainError) as caught:
        load_dataset("npz", options)
    assert caught.value.code is ExitCode.USAGE
    assert word in str(caught.value)
    assert caught.value.fix


def test_samples_that_stay_in_the_file_are_the_same_as_in_memory(tmp_path, monkeypatch):
    arrays = {"x": np.random.default_rng(0).normal(size=(20, 3)), "i": np.arange(20), "labels": np.arange(20) % 3}
    options = write(tmp_path / "a.npz", **arrays) | {"split": True}
    in_memory = load_dataset("npz", options)
    monkeypatch.setattr(npz_file, "_STORED_MIN", 0)
    stored = load_dataset("npz", options)
    assert all(isinstance(array, StoredRows) for array in stored.calibration.samples.arrays.values())
    for part in ("calibration", "evaluation"):
        one, other = getattr(in_memory, part), getattr(stored, part)
        assert (one.sha256, len(one)) == (other.sha256, len(other))
        assert one.targets["labels"].tolist() == other.targets["labels"].tolist()
        for name in ("x", "i"):
            assert np.array_equal(one.batch(2, 7)[name], other.batch(2, 7)[name])
            assert np.array_equal(one.take(np.array([5, 1]))[name], other.take(np.array([5, 1]))[name])


def test_a_number_that_is_none_is_found_in_any_block_of_a_large_array(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "_BLOCK_BYTES", 64)
    values = np.zeros((20, 3))
    load_dataset("npz", write(tmp_path / "a.npz", x=values))
    values[13, 1], values[17, 2] = -np.inf, np.inf
    error = refuse(write(tmp_path / "a.npz", x=values))
    assert error.found == "-inf in sample 13; 2 of 20 samples"
    values[17, 2] = 0
    load_dataset("npz", write(tmp_path / "a.npz", x=values))  # a mask
    values[2, 0] = 1
    assert refuse(write(tmp_path / "a.npz", x=values)).found == "-inf in sample 13; 1 of 20 samples"
