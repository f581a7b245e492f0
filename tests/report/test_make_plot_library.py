"""The library of the plots is what its makers' package gives, and nothing else."""

from __future__ import annotations

import gzip

import pytest

from toolchain.report.make_plot_library import LIBRARY, make_library


def test_the_file_is_made_of_the_package_in_constraints_txt():
    pytest.importorskip("vl_convert")
    assert gzip.decompress(LIBRARY.read_bytes()) == gzip.decompress(make_library()), (
        "run: python -m toolchain.report.make_plot_library"
    )


def test_it_is_printable_ascii_that_ends_no_script_element():
    text = gzip.decompress(LIBRARY.read_bytes()).decode("ascii")
    assert text.replace("\n", "").isprintable()
    assert "</script" not in text.lower()
    assert "<!--" not in text
