from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from toolchain import report as report_package
from toolchain.errors import usage
from toolchain.report.error_document import build_error_report
from toolchain.report.schema import render_schema
from toolchain.report.shape import Report


def check_shape(report):
    TypeAdapter(Report).validate_python(report, strict=True, extra="forbid")


@pytest.mark.parametrize("name", ["run", "failed_run", "float_run"])
def test_a_report_has_the_shape_of_its_type(name, request):
    check_shape(request.getfixturevalue(name).report())


def test_an_error_report_has_the_shape_of_its_type():
    check_shape(build_error_report(error=usage("wrong"), model="m", target="t", stages=[], provenance={"seed": 0}))


def test_the_shape_refuses_a_report_that_lacks_a_key_or_has_a_wrong_type(run):
    report = run.report()
    with pytest.raises(ValidationError):
        check_shape({**report, "verdict": "maybe"})
    del report["exit_code"]
    with pytest.raises(ValidationError):
        check_shape(report)


def test_the_schema_file_is_the_one_generated_from_the_type():
    file = Path(report_package.__file__).with_name("report.schema.json")
    assert file.read_text(encoding="utf-8") == render_schema(), (
        "run: python -m toolchain.report.schema > toolchain/report/report.schema.json"
    )
