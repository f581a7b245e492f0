"""The made-up run and its variants."""

import pytest

from tests.report.made_run import Run, describe_evaluation, make_run
from toolchain.agent.measure.quantiles import Ratio


@pytest.fixture
def run(passing_run: Run) -> Run:
    """Int8 passes and is shipped; the first layer stays in float; the bundle is not signed."""
    return passing_run.but(samples={name: list(samples) for name, samples in passing_run.samples.items()})


@pytest.fixture(scope="session")
def passing_run() -> Run:
    """What `run` is."""
    return make_run()


@pytest.fixture
def failed_run(run: Run) -> Run:
    """Nothing is shipped: int8 loses too much, and is the only candidate."""
    failed = run.with_candidate(evaluation=describe_evaluation(17.2, 0.9115))
    return failed.with_record(candidates=failed.record.candidates[:1]).with_manifest(
        candidates=failed.manifest.candidates[:1]
    )


@pytest.fixture
def float_run(run: Run) -> Run:
    """Float is shipped, because int8 is not faster."""
    slower = Ratio(ratio=0.94, low=0.92, high=0.95)
    shipped = run.but(float_reasons={}).with_candidate(over_reference=slower, over_later={"float32": slower})
    return shipped.with_candidate(1, evaluation=describe_evaluation(110.2, 0.925))
