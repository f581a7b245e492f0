"""docs/data.md: every data set is listed, every option is explained, and the recipes are read as they stand."""

import re
import tomllib
from pathlib import Path

import pytest

from toolchain.data.framing import PictureOptions
from toolchain.project.members import find_member, list_members, load_member
from toolchain.project.seams import DATA_SETS
from toolchain.project.toml_file import check_table

PAGE = (Path(__file__).parents[2] / "docs/data.md").read_text()
SECTIONS = {part.split("\n", 1)[0].strip(): part for part in re.split(r"^##+ ", PAGE, flags=re.MULTILINE)[1:]}
SHOWN = ("coco", "yolo_labels", "mask_pictures", "image_folder", "wav_folder", "csv_table", "csv_text")


def find_options(name):
    return load_member(find_member(DATA_SETS, name, where="test")).Options


def list_explained(text):
    rows = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_every_data_set_is_in_the_table():
    assert list_explained(PAGE.partition("## ")[0]) == set(list_members(DATA_SETS))


@pytest.mark.parametrize("name", SHOWN)
def test_every_option_is_explained_and_no_other(name):
    options = find_options(name)
    shared = PictureOptions.model_fields if issubclass(options, PictureOptions) else {}
    assert list_explained(SECTIONS[name]) == options.model_fields.keys() - shared.keys()


def test_the_options_of_pictures_are_explained():
    assert list_explained(SECTIONS["Pictures"]) == PictureOptions.model_fields.keys()


@pytest.mark.parametrize("name", SHOWN)
def test_the_recipe_is_read_as_it_stands(name):
    (block,) = re.findall(r"```toml\n(.*?)```", SECTIONS[name], re.DOTALL)
    data = tomllib.loads(block)["data"]
    assert data["name"] == name
    check_table(find_options(name), data["options"], what="the options", where="docs/data.md")
