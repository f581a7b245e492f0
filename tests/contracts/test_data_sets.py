"""What every data set must hold: samples in one order, the same every time, under a hash that says what they are."""

import numpy as np
import pytest

from tests.contracts.claims import find_broken_claims, pair_claims
from tests.contracts.outside import PACKAGE, write_plugin
from tests.data.pictures import write_coco, write_masks, write_yolo
from tests.data.stand_in_espeak import put_on_path
from tests.data.test_cifar10 import FILES, SIZE_BYTES
from tests.data.test_csv_table import write_table
from tests.data.test_csv_text import write_texts
from tests.data.test_fashion_mnist import write_parts
from tests.data.test_image_folder import write_pictures
from tests.data.test_wav_folder import write_sounds
from toolchain.data import load_dataset
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.members import list_members
from toolchain.project.seams import DATA_SETS

MEMBERS = list(list_members(DATA_SETS))
EXCEPTIONS = {
    ("npz", "no_sample_is_calibrated_with_and_evaluated_on"): (
        "one file without `split` or `evaluation` serves both: for `lower`, which evaluates nothing"
    ),
}


@pytest.fixture(scope="module", autouse=True)
def sources(tmp_path_factory):
    """Write the files that the data sets read, a folder each."""
    folder = {name: tmp_path_factory.mktemp(name) for name in MEMBERS}
    OPTIONS.update({name: {} for name in MEMBERS})
    OPTIONS["fashion_mnist"] = write_parts(folder["fashion_mnist"])
    OPTIONS["image_folder"] = write_pictures(folder["image_folder"])
    rng = np.random.default_rng(3)
    np.savez(folder["npz"] / "a.npz", x=rng.standard_normal((6, 4)).astype(np.float32), labels=np.arange(6) % 2)
    OPTIONS["npz"] = {"path": str(folder["npz"] / "a.npz")}
    for number, name in enumerate(FILES):
        with (folder["cifar10"] / name).open("wb") as file:  # zeros take no room on the disk
            file.write(bytes([number]) + rng.bytes(3072))
            file.truncate(SIZE_BYTES)
    OPTIONS["coco"] = write_coco(folder["coco"])
    OPTIONS["yolo_labels"] = write_yolo(folder["yolo_labels"])
    OPTIONS["mask_pictures"] = write_masks(folder["mask_pictures"])
    OPTIONS["wav_folder"] = write_sounds(folder["wav_folder"])
    OPTIONS["csv_table"] = write_table(folder["csv_table"])
    OPTIONS["csv_text"] = write_texts(folder["csv_text"])
    OPTIONS["cifar10"] = {"folder": str(folder["cifar10"])}
    OPTIONS["spoken_words"] = {"train_samples": 24, "test_samples": 36}
    with pytest.MonkeyPatch.context() as patch:
        put_on_path(folder["spoken_words"], patch)
        yield


OPTIONS = {}


def load(name):
    return load_dataset(name, OPTIONS.get(name, {}))


def list_parts(name):
    data = load(name)
    return [part for part in (data.calibration, data.evaluation, data.train) if part is not None]


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array)


def it_has_its_name(name):
    assert load(name).name == name


def every_array_has_a_row_for_each_sample(name):
    for part in list_parts(name):
        count = min(len(part), 4)
        assert count > 0
        batch = part.batch(0, count)
        assert batch
        assert {len(array) for array in batch.values()} == {count}
        assert all(np.isfinite(array).all() for array in batch.values())


def its_targets_have_a_row_for_each_sample(name):
    for part in list_parts(name):
        targets = getattr(part, "targets", None)
        assert targets is not None, "without targets it says so by {}"
        assert {len(target) for target in targets.values()} <= {len(part)}


def the_order_of_samples_is_the_same_in_every_cut(name):
    for part in list_parts(name):
        whole, first, second = part.batch(0, 2), part.batch(0, 1), part.batch(1, 2)
        assert_same({key: np.concatenate([first[key], second[key]]) for key in whole}, whole)


def it_is_the_same_when_it_is_loaded_again(name):
    for first, again in zip(list_parts(name), list_parts(name), strict=True):
        assert first.sha256 == again.sha256
        assert len(first) == len(again)
        assert_same(again.batch(0, 2), first.batch(0, 2))


def the_hash_tells_its_parts_apart(name):
    data = load(name)
    if len(data.calibration) != len(data.evaluation):
        assert data.calibration.sha256 != data.evaluation.sha256


def is_blank(row):
    """Return whether there are pictures of one colour each, which any two sets may have."""
    return all(array.ndim == 4 and not np.ptp(array, axis=(2, 3)).any() for array in row.values())


def no_sample_is_calibrated_with_and_evaluated_on(name):
    data = load(name)

    def read(part):
        rows = [part.batch(index, index + 1) for index in range(min(len(part), 8))]
        return {b"".join(row[key].tobytes() for key in sorted(row)) for row in rows if not is_blank(row)}

    assert not read(data.calibration) & read(data.evaluation)


def what_is_learned_from_can_be_taken_in_any_order(name):
    train = load(name).train
    if train is not None:
        batch = train.batch(0, 2)
        assert_same(train.take(np.array([1, 0])), {key: array[::-1] for key, array in batch.items()})


def an_unknown_option_is_refused_by_its_name(name):
    said = None
    try:
        load_dataset(name, {**OPTIONS.get(name, {}), "surprise": 1})
    except ToolchainError as error:
        said = error
    assert said is not None
    assert said.code is ExitCode.USAGE
    assert "surprise" in str(said)


CLAIMS = (
    it_has_its_name,
    every_array_has_a_row_for_each_sample,
    its_targets_have_a_row_for_each_sample,
    the_order_of_samples_is_the_same_in_every_cut,
    it_is_the_same_when_it_is_loaded_again,
    the_hash_tells_its_parts_apart,
    no_sample_is_calibrated_with_and_evaluated_on,
    what_is_learned_from_can_be_taken_in_any_order,
    an_unknown_option_is_refused_by_its_name,
)


@pytest.mark.parametrize(("claim", "name"), pair_claims(CLAIMS, MEMBERS, exceptions=EXCEPTIONS))
def test_every_data_set_keeps_the_contract(claim, name):
    claim(name)


_CHANGES = {
    "acme_patterns": ("", "", set()),
    "another_name": ('name="acme_patterns"', 'name="patterns"', {it_has_its_name}),
    "no_targets": (
        'return {"labels": np.arange(self.count) % 4}',
        "return None",
        {its_targets_have_a_row_for_each_sample},
    ),
    "another_order": (
        "default_rng(self.seed)",
        "default_rng()",
        {the_order_of_samples_is_the_same_in_every_cut, it_is_the_same_when_it_is_loaded_again},
    ),
    "no_numbers": (
        "* 2.0 - 1.0",
        "* np.nan",
        {every_array_has_a_row_for_each_sample, no_sample_is_calibrated_with_and_evaluated_on},
    ),
    "leaky": (
        "evaluation=Patterns(count=checked.count, seed=2)",
        "evaluation=Patterns(count=checked.count, seed=1)",
        {no_sample_is_calibrated_with_and_evaluated_on},
    ),
    "deaf": (
        'check_table(Options, options, what="the options of acme_patterns", where="data.options")',
        "Options()",
        {an_unknown_option_is_refused_by_its_name},
    ),
}


@pytest.mark.parametrize("change", _CHANGES)
def test_one_from_outside_is_held_to_it_too_and_caught_by_the_claim_that_it_breaks(plugins, change):
    old, new, broken = _CHANGES[change]
    text = (PACKAGE / "acme_edge" / "patterns.py").read_text()
    assert old in text
    text = text.replace(old, new) if old else text
    if change != "another_name":
        text = text.replace('name="acme_patterns"', f'name="{change}"')
    write_plugin(plugins, "data_sets", change, text)
    assert find_broken_claims(CLAIMS, change) == {claim.__name__ for claim in broken}
