from toolchain.report.numbers import list_numbers


def test_what_was_measured_has_a_row_and_nothing_else(run):
    report = run.report()
    assert [row[0] for row in list_numbers(report)] == ["top1", "size", "p50, ms", "p90, ms", "p99, ms"]
    assert [row[0] for row in list_numbers({**report, "metric": None, "latency": None})] == ["size"]
