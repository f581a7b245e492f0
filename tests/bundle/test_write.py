import stat
from dataclasses import replace

import numpy as np
import pytest

from toolchain.agent.contents import check_contents
from toolchain.agent.manifest import MANIFEST_SIZE_BYTES_MAX, read_manifest
from toolchain.bundle import GoldenBatch, write_bundle
from toolchain.errors import ExitCode, ToolchainError


def read_tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_is_what_the_agent_reads(bundle_inputs, tmp_path):
    manifest = write_bundle(bundle_inputs(), tmp_path / "bundle")
    read, _ = read_manifest(tmp_path / "bundle")
    assert read == manifest
    check_contents(tmp_path / "bundle", read)


def test_the_same_inputs_give_the_same_bytes(bundle_inputs, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    write_bundle(bundle_inputs(), first)
    write_bundle(bundle_inputs(), second)
    assert read_tree(first) == read_tree(second)


def test_other_provenance_gives_another_bundle(bundle_inputs, tmp_path):
    write_bundle(bundle_inputs(), tmp_path / "first")
    write_bundle(bundle_inputs(provenance={"seed": 8}), tmp_path / "second")
    assert read_manifest(tmp_path / "first")[1] != read_manifest(tmp_path / "second")[1]


def test_modes_do_not_depend_on_the_sources(bundle_inputs, write_model, tmp_path):
    model = write_model("int8")
    model.chmod(0o400)
    write_bundle(bundle_inputs(candidates={"int8": model}), tmp_path / "bundle")
    for path in (tmp_path / "bundle").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644)


def test_a_float_candidate_with_the_bytes_of_the_reference_is_stored_once(bundle_inputs, tmp_path):
    manifest = write_bundle(bundle_inputs(), tmp_path / "bundle")
    assert [candidate.path for candidate in manifest.candidates] == [
        "payload/int8/model.onnx",
        "payload/float32/model.onnx",
    ]
    assert manifest.reference == "payload/float32/model.onnx"
    assert sorted(path.name for path in (tmp_path / "bundle/payload").iterdir()) == ["float32", "int8"]


def test_a_float_candidate_that_differs_from_the_reference_is_a_file_of_its_own(bundle_inputs, write_model, tmp_path):
    manifest = write_bundle(bundle_inputs(candidates={"float32": write_model("negated")}), tmp_path / "bundle")
    assert manifest.candidates[0].path == "payload/float32/model.onnx"


def test_golden_arrays_are_the_batches_one_after_the_other(bundle_inputs, samples, tmp_path):
    manifest = write_bundle(bundle_inputs(), tmp_path / "bundle")
    inputs, outputs, labels = samples
    golden = manifest.golden
    np.testing.assert_array_equal(np.load(tmp_path / "bundle" / golden.inputs["input"]), inputs)
    np.testing.assert_array_equal(np.load(tmp_path / "bundle" / golden.outputs["logits"]), outputs)
    np.testing.assert_array_equal(np.load(tmp_path / "bundle" / golden.targets["labels"]), labels)


@pytest.mark.parametrize("batches", [[40], [40, 40], []], ids=str)
def test_batches_that_do_not_add_up_are_refused(bundle_inputs, samples, tmp_path, batches):
    inputs, outputs, _ = samples
    golden = [GoldenBatch(inputs={"input": inputs[:size]}, outputs={"logits": outputs[:size]}) for size in batches]
    with pytest.raises(ValueError, match="70 announced"):
        write_bundle(bundle_inputs(golden=golden), tmp_path / "bundle")
    assert not (tmp_path / "bundle/manifest.json").exists()


@pytest.mark.parametrize("change", [lambda a: a.astype(np.float64), lambda a: a[:, :2]], ids=["dtype", "shape"])
def test_a_batch_of_another_kind_than_the_first_is_refused(bundle_inputs, samples, tmp_path, change):
    inputs, outputs, _ = samples
    golden = [
        GoldenBatch(inputs={"input": inputs[:40]}, outputs={"logits": outputs[:40]}),
        GoldenBatch(inputs={"input": change(inputs[40:])}, outputs={"logits": outputs[40:]}),
    ]
    with pytest.raises(ValueError, match="the first one was"):
        write_bundle(bundle_inputs(golden=golden), tmp_path / "bundle")


def test_inputs_that_contradict_each_other_are_refused_and_leave_no_manifest(bundle_inputs, tmp_path):
    with pytest.raises(ToolchainError) as caught:
        write_bundle(bundle_inputs(ways=[(0, False)]), tmp_path / "bundle")
    assert caught.value.code == ExitCode.MALFORMED
    assert not (tmp_path / "bundle/manifest.json").exists()


def test_a_folder_with_something_in_it_is_left_alone(bundle_inputs, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ToolchainError) as caught:
        write_bundle(bundle_inputs(), tmp_path)
    assert caught.value.code == ExitCode.USAGE


def test_tensor_names_that_are_no_file_names_are_no_problem(bundle_inputs, samples, tmp_path):
    inputs, outputs, _ = samples
    good = bundle_inputs()
    name = "../logits:0/x\\y"
    manifest = write_bundle(
        replace(
            good,
            outputs=[replace(good.outputs[0], name=name)],
            golden=[GoldenBatch(inputs={"input": inputs}, outputs={name: outputs})],
        ),
        tmp_path / "bundle",
    )
    assert manifest.golden.outputs == {name: "golden/output-0.npy"}
    check_contents(tmp_path / "bundle", read_manifest(tmp_path / "bundle")[0])


def test_a_manifest_that_no_board_would_read_is_not_written(bundle_inputs, tmp_path):
    with pytest.raises(ToolchainError) as caught:
        write_bundle(bundle_inputs(provenance={"note": "x" * MANIFEST_SIZE_BYTES_MAX}), tmp_path / "bundle")
    assert caught.value.code == ExitCode.MALFORMED
    assert not (tmp_path / "bundle/manifest.json").exists()
