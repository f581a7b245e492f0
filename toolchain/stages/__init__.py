"""The stages of the flow: what each depends on (its key in the cache), and how its result is built.

A key says everything that the result depends on, and nothing else, so that a change rebuilds exactly what
hangs on it. The work itself lives in the folders of the same names; it is imported when a stage must be built,
so that a cached run imports neither torch nor onnx.
"""

from toolchain.stages.alone import lower_alone, optimize_alone
from toolchain.stages.bundle import bundle
from toolchain.stages.compress import compress
from toolchain.stages.evidence import evidence
from toolchain.stages.explain import explain
from toolchain.stages.export import export
from toolchain.stages.foreign import run_stages
from toolchain.stages.golden import golden
from toolchain.stages.input import put_input
from toolchain.stages.lower import list_lowered, list_outliers, lower
from toolchain.stages.optimize import optimize
from toolchain.stages.prove_input import is_reframed
from toolchain.stages.run import Run
from toolchain.stages.stand_in import read_stand_in
from toolchain.stages.train import train

__all__ = [
    "Run",
    "bundle",
    "compress",
    "evidence",
    "explain",
    "export",
    "golden",
    "is_reframed",
    "list_lowered",
    "list_outliers",
    "lower",
    "lower_alone",
    "optimize",
    "optimize_alone",
    "put_input",
    "read_stand_in",
    "run_stages",
    "train",
]
