import pytest

from toolchain.data import load_dataset
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.members import list_members
from toolchain.project.seams import DATA_SETS


def test_a_module_without_load_is_no_data_set():
    assert list(list_members(DATA_SETS)) == [
        "cifar10", "coco", "csv_table", "csv_text", "diabetes", "fashion_mnist", "fashion_mnist_small", "garment_scenes",
        "image_folder", "language_words", "machine_sound", "mask_pictures", "npz", "spoken_words", "spoken_words_small", "text_lines", "wav_folder",
        "yolo_labels",
    ]  # fmt: skip


def test_an_unknown_name_is_a_usage_error_that_lists_the_known():
    with pytest.raises(ToolchainError) as caught:
        load_dataset("mnist", {})
    assert caught.value.code is ExitCode.USAGE
    assert "fashion_mnist_small" in str(caught.value)


def test_a_module_of_the_package_that_is_no_data_set_is_refused_by_name():
    with pytest.raises(ToolchainError) as caught:
        load_dataset("idx", {})
    assert caught.value.code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("name", "known"), [("fashion_mnist", "folder, download"), ("fashion_mnist_small", "no key at all")]
)
def test_an_unknown_option_is_a_usage_error_that_lists_the_known(name, known):
    with pytest.raises(ToolchainError) as caught:
        load_dataset(name, {"foldr": "x"})
    assert caught.value.code is ExitCode.USAGE
    assert known in str(caught.value)
    assert "foldr" in str(caught.value)


def test_an_option_of_the_wrong_type_is_a_usage_error_that_names_it():
    with pytest.raises(ToolchainError) as caught:
        load_dataset("fashion_mnist", {"download": "yes"})
    assert caught.value.code is ExitCode.USAGE
    assert "data.options: download" in str(caught.value)


def test_a_missing_option_is_a_usage_error_that_names_it():
    with pytest.raises(ToolchainError) as caught:
        load_dataset("npz", {})
    assert caught.value.code is ExitCode.USAGE
    assert "path" in str(caught.value)
