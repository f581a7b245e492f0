"""Numbers in CSV files."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.data import load_dataset
from toolchain.errors import ExitCode, ToolchainError

FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


def write_table(folder, train="a,b,y\n1,2,0\n3,4,1\n5,6,1\n", evaluation="a,b,y\n7,8,0\n9,10,1\n", **options):
    for part, text in (("train", train), ("evaluation", evaluation)):
        (folder / f"{part}.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        options[part] = str(folder / f"{part}.csv")
    return {"label": "y"} | options


def refuse(options):
    with pytest.raises(ToolchainError) as caught:
        load_dataset("csv_table", options)
    return caught.value


def test_columns_are_one_array_and_the_label_is_told_by_its_line(tmp_path):
    data = load_dataset("csv_table", write_table(tmp_path))
    batch = data.evaluation.batch(0, 2)["input"]
    assert (batch.tolist(), batch.dtype) == ([[7, 8], [9, 10]], np.float32)
    assert data.train.targets["labels"].tolist() == [0, 1, 1]
    assert data.train.name_sample(2) == f"{tmp_path}/train.csv, line 4"


def test_columns_are_taken_in_the_order_of_the_options_and_normalized(tmp_path):
    options = write_table(tmp_path, columns=["b", "a"], mean=[2.0, 1.0], std=[2.0, 1.0])
    assert load_dataset("csv_table", options).train.batch(0, 1)["input"].tolist() == [[0.0, 0.0]]
    assert load_dataset("csv_table", options).train.batch(1, 2)["input"].tolist() == [[1.0, 2.0]]


def test_both_files_are_read_in_the_order_of_the_first(tmp_path):
    options = write_table(tmp_path, evaluation="y,b,a\n0,8,7\n1,10,9\n")
    data = load_dataset("csv_table", options)
    assert data.evaluation.batch(0, 2)["input"].tolist() == [[7, 8], [9, 10]]
    other = load_dataset("csv_table", write_table(tmp_path, "b,a,y\n1,2,0\n", "y,b,a\n0,8,7\n1,10,9\n"))
    assert other.evaluation.sha256 != data.evaluation.sha256


def test_classes_are_told_by_their_names_and_come_in_turn(tmp_path):
    text = "a,y\n1,no\n2,no\n3,yes\n4,yes\n"
    data = load_dataset("csv_table", write_table(tmp_path, text, text, classes=["yes", "no"]))
    assert data.classes == ("yes", "no")
    assert data.train.targets["labels"].tolist() == [0, 1, 0, 1]
    assert data.train.batch(0, 4)["input"].ravel().tolist() == [3, 1, 4, 2]


def test_values_and_anomalies_are_targets(tmp_path):
    text = "a,p,q,odd\n1,2,3,0\n4,5,6,1\n"
    options = write_table(tmp_path, text, text, values=["q", "p"], anomalous="odd")
    del options["label"]
    data = load_dataset("csv_table", options)
    assert data.evaluation.targets["values"].tolist() == [[3, 2], [6, 5]]
    assert data.evaluation.targets["anomalous"].tolist() == [0, 1]
    assert data.evaluation.batch(0, 2)["input"].shape == (2, 1)


def test_an_evaluation_without_an_anomaly_is_refused_and_a_training_is_not(tmp_path):
    good, bad = "a,odd\n1,0\n2,0\n", "a,odd\n1,0\n2,1\n"
    options = write_table(tmp_path, good, bad, anomalous="odd") | {"label": None}
    load_dataset("csv_table", options)
    error = refuse(write_table(tmp_path, bad, good, anomalous="odd") | {"label": None})
    assert error.code is ExitCode.USAGE
    assert error.what == "no sample has a 1 as anomalous"
    broken = "a,odd\n1,1\n2,1\n"
    error = refuse(write_table(tmp_path, bad, broken, anomalous="odd") | {"label": None})
    assert error.what == "no sample has a 0 as anomalous"
    assert error.where.endswith("evaluation.csv")


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("1,2", "a row of another number of cells than the header"),
        ("1,2,0,4", "a row of another number of cells than the header"),
        ("x,2,0", "a cell that is no number"),
        (",2,0", "a cell that is no number"),
        ("nan,2,0", "a cell that is no number"),
        ("inf,2,0", "a cell that is no number"),
        ("1e39,2,0", "a cell that is no number"),
        ("1_0,2,0", "a cell that is no number"),
        ("١,2,0", "a cell that is no number"),
        ("1,2,-1", "a class that is no number"),
        ("1,2,0.5", "a class that is no number"),
        ("1,2,²", "a class that is no number"),
        ("1,2," + "9" * 30, "a class that is no number"),
        ('1,2,"0"x', "a row that is no CSV"),
        ("1,2," + "0" * 200_000, "a row that is no CSV"),
        ('1,2,"0', "a row that is no CSV"),
    ],
)
def test_a_broken_row_is_refused_by_its_line(tmp_path, row, what):
    error = refuse(write_table(tmp_path, evaluation=f"a,b,y\r\n1,2,0\r\n\r\n{row}\r\n"))
    assert error.code is ExitCode.USAGE
    assert f"{what} (1)" in error.what
    assert error.found.startswith(f"{tmp_path}/evaluation.csv, line 4")


def test_broken_rows_of_both_files_are_counted_at_once(tmp_path):
    error = refuse(write_table(tmp_path, "a,b,y\nx,2,0\n1,2\n1,2,0\n", "a,b,y\n" + "1,2,z\n" * 9))
    assert error.what.startswith("the data have 11 faults")
    assert "train.csv, line 3" in error.found
    assert error.found.endswith("and 8 more")


def test_a_cell_of_several_lines_is_one_row(tmp_path):
    error = refuse(write_table(tmp_path, evaluation='a,b,y\n"1\n",2,0\n"x\ny",2,0\n'))
    assert f"{tmp_path}/evaluation.csv, line 4, column a" in error.found
    assert "(1)" in error.what


@pytest.mark.parametrize("text", ["", "\n\n", "a,a,y\n1,2,0\n", "a,b,y\n"])
def test_a_file_without_a_header_or_rows_is_refused(tmp_path, text):
    assert refuse(write_table(tmp_path, text)).code is ExitCode.USAGE


def test_spaces_around_the_names_of_columns_are_told(tmp_path):
    error = refuse(write_table(tmp_path, "a, b, y\n1,2,0\n3,4,1\n"))
    assert (error.code, error.fix) == (ExitCode.USAGE, "take the spaces around the names out of the first row")


def test_a_flag_that_is_neither_0_nor_1_is_counted(tmp_path):
    error = refuse(write_table(tmp_path, evaluation="a,b,y\n7,8,0\n9,10,2\n", label=None, anomalous="y"))
    assert "a cell that is neither 0 nor 1 (1)" in error.what
    assert f"{tmp_path}/evaluation.csv, line 3, column y: 2" in error.found


@pytest.mark.parametrize(("mark", "told"), [(";", '";"'), ("\t", '"\\t"'), ("|", '"|"')])
def test_a_file_of_another_separator_is_told_which_and_read_with_it(tmp_path, mark, told):
    text = "a,b,y\n1,2,0\n3,4,1\n".replace(",", mark)
    error = refuse(write_table(tmp_path, text))
    assert (error.code, error.fix) == (ExitCode.USAGE, f"set data.options.delimiter = {told}")
    options = write_table(tmp_path, text, text) | {"delimiter": mark}
    assert load_dataset("csv_table", options).train.batch(0, 1)["input"].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    "options",
    [
        {"columns": ["a", "c"]}, {"columns": ["a", "y"]}, {"columns": ["a", "a"]}, {"label": "z"}, {"mean": [1.0] * 3},
        {"std": [0.0]}, {"delimiter": ";;"}, {"delimiter": '"'}, {"classes": []}, {"values": ["y", "z"]},
    ],
)  # fmt: skip
def test_options_that_do_not_fit_are_refused(tmp_path, options):
    assert refuse(write_table(tmp_path) | options).code is ExitCode.USAGE


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a,b,y\n1,2,\xff\n", b"a" * ((1 << 20) + 10), b'"' + b"a" * 300_000])
def test_what_is_no_text_of_lines_is_refused(tmp_path, content):
    assert refuse(write_table(tmp_path, evaluation=content)).code in (ExitCode.MALFORMED, ExitCode.USAGE)


def test_a_file_that_is_not_there_is_exit_3(tmp_path):
    assert refuse(write_table(tmp_path) | {"train": str(tmp_path / "none.csv")}).code is ExitCode.MISSING


@given(rows=st.lists(st.tuples(FLOAT32, FLOAT32, st.integers(0, 3)), min_size=1, max_size=8), seed=st.integers(0, 9))
def test_numbers_are_those_that_were_written_in_whatever_order(tmp_path_factory, rows, seed):
    folder = tmp_path_factory.mktemp("csv")
    order = np.random.default_rng(seed).permutation(len(rows))

    def write(picked):
        return "a,b,y\n" + "".join(f"{a!r},{b!r},{y}\n" for a, b, y in picked)

    data = load_dataset("csv_table", write_table(folder, write(rows), write([rows[index] for index in order])))

    def read(part):
        batch, labels = part.batch(0, len(part))["input"], part.targets["labels"]
        return sorted((float(a), float(b), int(y)) for (a, b), y in zip(batch, labels, strict=True))

    assert read(data.train) == read(data.evaluation) == sorted(rows)
