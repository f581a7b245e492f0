import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.lower.conftest import parse_model, run_model
from tests.lower.tables.test_rows import HEAD, replace_table
from toolchain.agent.measure.parity import compare
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.int8 import describe_int8, lower_int8
from toolchain.lower.runtimes import openvino
from toolchain.lower.runtimes.onnxruntime import int8_policy
from toolchain.lower.tables import choose_tables
from toolchain.project.recipe import QuantizeSection

TEXT = (
    HEAD
    + """g (int64[n, s] i) => (float[n, s, 32] y) <float[500, 64] table, float[600, 64] places, float[64, 32] w> {
    [words] a = Gather(table, i) [at] b = Gather(places, i) [sum] x = Add(a, b) [layer] y = MatMul(x, w) }"""
)


@pytest.fixture
def sentences():
    rng = np.random.default_rng(3)
    return [{"i": rng.integers(0, 500, (1, 12))} for _ in range(24)]


def lower(model, feeds, policy=None, **options):
    policy = policy or int8_policy(choose_scheme("aarch64", frozenset(), "auto"), kernels=None)
    return lower_int8(
        model,
        feeds,
        options=QuantizeSection(choose_by_measurement=False, **options),
        policy=policy,
        sqnr_db_min=20.0,
        threads=1,
        start_steps=lambda _name, _total: lambda: None,
    )


def add_outlier(table):
    table[:, 0] = 1e4


def hide_first_column(model):
    (weight,) = (tensor for tensor in model.graph.initializer if tensor.name == "w")
    value = numpy_helper.to_array(weight).copy()
    value[0] = 0
    weight.CopyFrom(numpy_helper.from_array(value, "w"))


def test_tables_with_which_the_answers_stay_are_taken_the_largest_first(sentences):
    tables = choose_tables(parse_model(TEXT), sentences, sqnr_db_min=20.0)
    assert [table.name for table in tables.chosen] == ["places", "table"]
    assert tables.sqnr_db > 35
    assert tables.in_float == {}


def test_no_table_is_taken_that_leaves_a_gate_too_little(sentences):
    model = parse_model(TEXT)
    tables = choose_tables(model, sentences, sqnr_db_min=45.0)
    assert tables.chosen == ()
    assert tables.write(model) is model
    assert all("dB of 55" in reason for reason in tables.in_float.values())
    assert set(tables.in_float) == {"places", "table"}


def test_a_table_whose_rows_hide_what_the_answer_needs_stays_in_float_alone(sentences):
    """The first column is so large that the others have no steps left, and no answer reads it."""
    model = parse_model(TEXT)
    hide_first_column(model)
    assert len(choose_tables(model, sentences, sqnr_db_min=20.0).chosen) == 2
    replace_table(model, add_outlier)
    tables = choose_tables(model, sentences, sqnr_db_min=20.0)
    assert [table.name for table in tables.chosen] == ["places"]
    assert list(tables.in_float) == ["table"]


def test_an_int8_model_has_its_tables_in_int8_and_says_what_they_save(sentences):
    model = parse_model(TEXT)
    lowering = lower(model, sentences)
    document = json.loads(json.dumps(describe_int8(lowering)))
    assert [row["table"] for row in document["tables"]["int8"]] == ["places", "table"]
    assert document["tables"]["int8"][0] == {"table": "places", "shape": [600, 64], "saved_bytes": 600 * (3 * 64 - 4)}
    assert not {"table", "places"} & {tensor.name for tensor in lowering.model.graph.initializer}
    assert lowering.plan.weighted_layers == ("layer",)
    (row,) = compare(run_model(model, sentences[0]), run_model(lowering.model, sentences[0]))
    assert row.sqnr_db > 20


def test_a_table_of_a_layer_that_the_recipe_keeps_stays_the_users(sentences):
    model = parse_model(TEXT)
    lowering = lower(model, sentences, keep_float=["words"])
    kept = {tensor.name: tensor for tensor in lowering.model.graph.initializer}
    assert kept["table"] == next(tensor for tensor in model.graph.initializer if tensor.name == "table")
    assert "places" not in kept


def test_a_tied_table_stays_right_beside_one_that_is_taken(sentences):
    text = (
        HEAD
        + """g (int64[n, s] i) => (float[n, s, 500] y) <float[500, 64] table, float[600, 64] places> {
        [words] a = Gather(table, i) [at] b = Gather(places, i) [sum] x = Add(a, b)
        [turn] t = Transpose(table) [scores] y = MatMul(x, t) }"""
    )
    model = parse_model(text)
    lowering = lower(model, sentences)
    assert [table.name for table in lowering.tables.chosen] == ["places"]
    (row,) = compare(run_model(model, sentences[0]), run_model(lowering.model, sentences[0]))
    assert row.sqnr_db > 20
    # Stored once, by whoever reads it.
    sizes = [len(tensor.raw_data) for tensor in lowering.model.graph.initializer]
    assert sorted(sizes)[-2:] == [500 * 64, 600 * 64]


def test_a_runtime_whose_kernels_were_not_looked_at_keeps_tables_in_float(sentences):
    policy = openvino.int8_policy(choose_scheme("x86_64", frozenset({"avx_vnni"}), "auto"), kernels=None)
    lowering = lower(parse_model(TEXT), sentences, policy=policy)
    assert {"table", "places"} <= {tensor.name for tensor in lowering.model.graph.initializer}
    assert lowering.tables.describe() == {"sqnr_db": None, "int8": [], "float32": []}


def test_what_a_table_becomes_is_a_valid_model(sentences):
    onnx.checker.check_model(lower(parse_model(TEXT), sentences).model, full_check=True)
