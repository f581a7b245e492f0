import pytest

from toolchain.data import load_dataset
from toolchain.errors import ToolchainError
from toolchain.project.data_path import DataPath, change_paths
from toolchain.project.members import list_members
from toolchain.project.seams import DATA_SETS
from toolchain.project.toml_file import Section


class Options(Section):
    folder: DataPath
    other: DataPath | None = None
    name: str = "folder"
    size: int = 3


def test_options_of_the_type_are_changed_and_no_others():
    options = {"folder": "a", "other": "b", "name": "c", "size": 4, "unknown": "d"}
    changed = change_paths(options, Options, str.upper)
    assert changed == {"folder": "A", "other": "B", "name": "c", "size": 4, "unknown": "d"}


@pytest.mark.parametrize("value", [3, None, ["a"]])
def test_a_value_that_is_no_text_is_left_to_the_check_of_the_options(value):
    assert change_paths({"folder": value}, Options, str.upper) == {"folder": value}


def test_the_type_is_a_text_to_the_check_of_the_options():
    assert Options(folder="a").folder == "a"


@pytest.mark.parametrize("name", ["npz", "image_folder", "cifar10"])
def test_a_data_set_of_files_is_looked_for_beside_the_recipe(name, tmp_path):
    assert name in list_members(DATA_SETS)
    option = "path" if name == "npz" else "folder"
    with pytest.raises(ToolchainError) as caught:
        load_dataset(name, {option: "nowhere"}, folder=tmp_path)
    assert str(tmp_path / "nowhere") in str(caught.value)
