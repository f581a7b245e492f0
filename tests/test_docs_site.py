"""The docs as pages: what the site's check refuses, and where links lead that are right in the repository."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs_site import list_faults

ROOT = Path(__file__).parents[1]


@pytest.fixture
def pages(monkeypatch):
    """Return the hook of mkdocs.yml; mkdocs itself is for `make docs`."""
    for name in ("mkdocs", "mkdocs.structure", "mkdocs.structure.files"):
        module = ModuleType(name)
        module.File = module.Files = object
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("docs_pages", ROOT / "docs/pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_link_leads_where_its_file_is_a_page_or_a_copy(pages):
    text, copied = pages.rewrite_links(
        "[a](../recipe.md#data) [b](../../README.md) [c](../../targets/cpu.toml) [d](https://e.org) [e](#here)",
        "extending/gate.md",
    )
    assert (
        text
        == "[a](../recipe.md#data) [b](../index.md) [c](../files/targets/cpu.toml.txt) [d](https://e.org) [e](#here)"
    )
    assert copied == {"targets/cpu.toml"}
    assert pages.rewrite_links("[a](docs/data.md)", "index.md")[0] == "[a](data.md)"


def test_what_a_block_shows_is_no_link(pages):
    text = "```\n[a](none.md)\n```\n"
    assert pages.rewrite_links(text, "recipe.md") == (text, set())


@pytest.mark.parametrize("target", ["none.md", "../../outside.md", "../toolchain"])
def test_a_link_to_no_file_of_the_repository_ends_the_build(pages, target):
    with pytest.raises(FileNotFoundError):
        pages.rewrite_links(f"[a]({target})", "recipe.md")


def write_site(folder, index):
    (folder / "index.html").write_text(f"<h1 id='top'>A</h1>{index}")
    (folder / "other.html").write_text("<h1 id='there'>B</h1>")
    (folder / "404.html").write_text("<a href='/nowhere.html'>x</a>")
    return folder


def test_a_site_whose_links_lead_somewhere_has_no_faults(tmp_path):
    index = "<a href='other.html#there'>b</a> <a href='#top'>c</a> <a href='https://e.org'>d</a>"
    assert list_faults(write_site(tmp_path, index)) == []


@pytest.mark.parametrize(
    "index",
    [
        "<a href='none.html'>a</a>",
        "<a href='other.html#gone'>a</a>",
        "<a href='#gone'>a</a>",
        "<img src='none.png'>",
        "<script src='https://e.org/x.js'></script>",
        "<link rel='stylesheet' href='//fonts.e.org/x.css'>",
    ],
)
def test_what_leads_nowhere_or_is_loaded_from_elsewhere_is_a_fault(tmp_path, index):
    assert len(list_faults(write_site(tmp_path, index))) == 1


def test_every_page_is_in_the_navigation():
    named = (ROOT / "mkdocs.yml").read_text()
    lacking = [
        path
        for path in (ROOT / "docs").rglob("*.md")
        if f": {path.relative_to(ROOT / 'docs').as_posix()}\n" not in named
    ]
    assert lacking == []
