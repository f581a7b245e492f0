"""What a passed drift leaves to be said: outputs that prove nothing, and those whose differences between samples suffer."""

from __future__ import annotations

from collections.abc import Iterator

from toolchain.agent.manifest import MetricSpec
from toolchain.agent.measure.gates.drift import DEFAULT_AGREEMENT_MIN
from toolchain.agent.measure.quantities import write_percent
from toolchain.agent.measure.record import Evaluation
from toolchain.agent.measure.scoring import find_scoring

# The error has a tenth of the power in which samples differ: a correlation of 0.95, which a regression's user sees.
_VARYING_DB_USUAL = 10.0


def list_drift_warnings(evaluation: Evaluation, metric: MetricSpec) -> Iterator[str]:
    """Yield a sentence for each output of which a verdict says less than its SQNR does."""
    scoring = find_scoring(metric)
    read = () if scoring is None else scoring.list_read([output.output for output in evaluation.drift])
    for output in evaluation.drift:
        name, found = output.output, output.varying
        is_judged = output.is_scores or name in read
        if not is_judged and output.agreement is not None and output.agreement < DEFAULT_AGREEMENT_MIN:
            yield (
                f"the largest value of output {name} stands at the same place in {write_percent(output.agreement)} of the "
                "samples: where these are scores of classes, gate them with labels or agreement_min"
            )
        if found.channels and found.constant == found.channels:
            yield f"output {name} is the same, but for rounding, in all {evaluation.samples} samples: nothing is proven of it"
        elif found.lost:
            which = (
                f"{found.lost} of the {found.channels} channels (axis 1) of output {name}"
                if found.channels > 1
                else f"output {name}"
            )
            yield f"in {which} the error is as large as what differs between samples: a constant answers as well"
        elif found.varying_db is not None and found.varying_db < _VARYING_DB_USUAL:
            yield (
                f"of what differs between samples in output {name} {found.varying_db:.1f} dB are left, of all of it "
                f"{output.sqnr_db:.1f} dB"
            )
