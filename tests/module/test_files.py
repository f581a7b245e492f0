"""The key of a model's code: it changes with every file that the code is made of, and with nothing else."""

import sys
from importlib import metadata

import pytest

from toolchain.module.files import identify_files, identify_member
from toolchain.project.members import Member
from toolchain.project.recipe import read_recipe
from toolchain.project.seams import DATA_SETS

FILES = {
    "net/model.py": "from blocks import conv\nfrom .deep import parts\nimport shared\nimport sizes\n",
    "net/blocks.py": "import json, yaml\nCONFIG = json.load(open(dirname + '/' + 'small.json'))\nimport more.layers\n",
    "net/deep/parts.py": "path = Path(__file__).parent / 'presets' / 'one.yaml'\nimport sys\n",
    "net/deep/presets/one.yaml": "a: 1",
    "net/deep/presets/two.yaml": "a: 2",
    "net/small.json": "{}",
    "net/other.json": "{}",
    "net/notes.txt": "",
    "net/weights.safetensors": "",
    "net/chosen.cfg": "",
    "elsewhere/shared/__init__.py": "from . import inner\n",
    "elsewhere/shared/inner.py": "import last\n",
    "elsewhere/last.py": "",
    "elsewhere/unrelated.py": "",
    "elsewhere/more/layers.py": "",
    "beside/sizes.py": "",
    "beside/unrelated.py": "",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with (tmp_path / "net" / "model.py").open("a") as stream:
        stream.write("sys.path.append(os.path.join(os.path.dirname(__file__), '..', 'beside'))\n")
    (tmp_path / "net" / "recipe.toml").write_text(
        '[model]\nbuild = "model.py:build"\nbuild_options = { config = "chosen.cfg" }\nweights = "weights.safetensors"\n'
        '[data]\nname = "npz"\n'
    )
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "elsewhere")])
    return tmp_path


def identify(project):
    return identify_files(read_recipe(project / "net" / "recipe.toml"))


@pytest.mark.parametrize(
    "name",
    [
        "net/model.py",
        "net/blocks.py",
        "net/deep/parts.py",
        "net/deep/presets/one.yaml",
        "net/small.json",
        "net/chosen.cfg",
        "elsewhere/shared/__init__.py",
        "elsewhere/shared/inner.py",
        "elsewhere/last.py",
        "elsewhere/more/layers.py",
        "beside/sizes.py",
    ],
)
def test_a_change_in_a_file_of_the_model_changes_the_key(project, name):
    before = identify(project)
    with (project / name).open("a") as stream:
        stream.write("# changed\n")
    assert identify(project) != before


@pytest.mark.parametrize(
    "name",
    [
        "net/notes.txt",
        "net/other.json",
        "net/weights.safetensors",
        "net/recipe.toml",
        "net/deep/presets/two.yaml",
        "elsewhere/unrelated.py",
        "beside/unrelated.py",
    ],
)
def test_a_change_elsewhere_does_not(project, name):
    before = identify(project)
    with (project / name).open("a") as stream:
        stream.write("# changed\n")
    assert identify(project) == before


def test_another_version_of_an_imported_package_changes_the_key(project, monkeypatch):
    with (project / "net" / "model.py").open("a") as stream:
        stream.write("import rich\n")
    before = identify(project)
    find_version = metadata.version
    for name, changes in (("typer", False), ("rich", True)):
        monkeypatch.setattr(metadata, "version", lambda asked, name=name: "0" if asked == name else find_version(asked))
        assert (identify(project) != before) is changes


def test_a_file_that_is_no_python_has_a_key(project):
    (project / "net" / "blocks.py").write_text("def (\n")
    assert identify(project) == identify(project)


def test_the_package_around_a_model_is_part_of_its_key(project):
    for folder in ("", "net"):
        (project / folder / "__init__.py").write_text("")
    before = identify(project)
    (project / "common.py").write_text("x = 1\n")
    assert identify(project) != before


@pytest.fixture
def member(tmp_path, monkeypatch):
    """Return a member in a project's file, which loads a neighbour by its path and reads a file of the working folder."""
    texts = {
        "plugins/data_sets/own.py": "run_path(Path(__file__).with_name('_shared.py'))\nlevel = open('data/level.txt')\n",
        "plugins/data_sets/_shared.py": "run_path(Path(__file__).with_name('_inner.py'))\n",
        "plugins/data_sets/_inner.py": "",
        "plugins/data_sets/other.py": "",
        "data/level.txt": "",
        "data/other.txt": "",
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "plugins" / "data_sets" / "own.py"
    return Member(seam=DATA_SETS, name="own", module="own", path=path)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("plugins/data_sets/_shared.py", True),
        ("plugins/data_sets/_inner.py", True),
        ("data/level.txt", True),
        ("plugins/data_sets/other.py", False),
        ("data/other.txt", False),
    ],
)
def test_the_files_that_a_member_names_count_python_and_those_of_the_working_folder_too(member, tmp_path, name, counts):
    before = identify_member(member).identity
    with (tmp_path / name).open("a") as stream:
        stream.write("# changed\n")
    assert (identify_member(member).identity != before) is counts
