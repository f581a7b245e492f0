"""What the docs name is there: paths, links, and a line for every dependency."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
}
# Where a path may begin; what begins elsewhere is a board's, a user's or made by a run.
_TOPS = {"toolchain", "tests", "benchmarks", "docs", "models", "targets", ".ci"}
# Before modules of these, toolchain/ may be left out.
_WINGS = {path.name for path in (ROOT / "toolchain").iterdir() if path.is_dir()}
_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"\.?[\w.-]+(/[\w.-]+)*/?")
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
# What stands for any module, on the page about tests.
_STAND_INS = {"toolchain/a/b.py", "tests/a/test_b.py"}


def list_paths(text):
    """Return what stands in backticks and reads as a path of this repository; braces stand for several."""
    found = []
    for code in _CODE.findall(_FENCE.sub("", text)):
        for path in spread(code.partition("::")[0]):
            top, slash, _ = path.partition("/")
            is_ours = slash and (top in _TOPS or (top in _WINGS and path.endswith(".py")))
            if is_ours and _PATH.fullmatch(path) and "NAME" not in path and path not in _STAND_INS:
                found.append(path)
    return found


def spread(text):
    """Return the paths that a/{b,c}/d stands for."""
    match = re.fullmatch(r"([^{}]*)\{([^{}]*)\}([^{}]*)", text)
    return [text] if match is None else [match[1] + part.strip() + match[3] for part in match[2].split(",")]


def is_there(path):
    places = (ROOT, ROOT / "toolchain")
    return any((place / path).exists() for place in places)


def list_anchors(text):
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def list_broken_links(page):
    broken = []
    for target, anchor in _LINK.findall(_FENCE.sub("", page.read_text())):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        path = page if not target else page.parent / target
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in list_anchors(path.read_text())):
            broken.append(f"{target}#{anchor}" if anchor else target)
    return broken


def list_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return sorted({Requirement(text).name for group in groups for text in group})


def list_explained(text):
    """Return the names in the first column of the table, without what is said of extras."""
    rows = re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)
    return {name.strip() for row in rows for name in re.sub(r"\([^)]*\)", "", row).split(",")}


@pytest.mark.parametrize("name", PAGES)
def test_every_path_that_a_page_names_is_there(name):
    assert [path for path in list_paths(PAGES[name].read_text()) if not is_there(path)] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_page_leads_somewhere(name):
    assert list_broken_links(PAGES[name]) == []


def test_a_path_that_is_gone_is_found():
    text = "`toolchain/boards.py`, `toolchain/{errors,recipe}.py`, `agent/errors.py`, `dist/a/b.py`, `make deploy`"
    paths = list_paths(text)
    assert paths == ["toolchain/boards.py", "toolchain/errors.py", "toolchain/recipe.py", "agent/errors.py"]
    assert [path for path in paths if not is_there(path)] == ["toolchain/boards.py", "toolchain/recipe.py"]


def test_a_link_that_is_broken_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A heading, here\n[a](#a-heading-here) [b](other.md) [c](page.md#no) [d](https://e.org)\n")
    assert list_broken_links(page) == ["other.md", "page.md#no"]


def test_every_dependency_says_why():
    explained = list_explained((ROOT / "docs" / "dependencies.md").read_text())
    assert [name for name in list_dependencies() if name not in explained] == []


def test_a_dependency_without_a_line_is_found():
    assert "pydantic" in list_dependencies()
    assert list_explained("| numpy, onnx (extra `x`) | arrays | |\n") == {"numpy", "onnx"}
