"""Input: what the sensor's numbers need, put into the graph in front of the model as it came."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from toolchain.errors import usage
from toolchain.run.cache import Entry
from toolchain.stages.run import PARITY_SAMPLES, Run, write_json


def put_input(run: Run, exported: Entry) -> Entry:
    """Return model.onnx that takes what the sensor gives, proven equal to the model on what that becomes; the same without [input].

    Tokens are no work of a graph's: of a text it is the same too.
    """
    sensed, section = run.sensed, run.recipe.input
    if sensed is None or section is None or section.text is not None:
        return exported
    inputs = {
        **run.identify_code(__name__),
        "model": exported.sha256,
        **run.identify_input(),
        **run.identify_calibration(PARITY_SAMPLES),
    }

    def build(folder: Path) -> None:
        from toolchain.graph.file import read_onnx, write_onnx
        from toolchain.graph.input_processing import put_input_in_front
        from toolchain.graph.parity import check_float_parity
        from toolchain.graph.session import HostSession

        path, made = exported.folder / "model.onnx", folder / "model.onnx"
        name = section.name or _find_only([spec.name for spec in HostSession(path).inputs])
        spec = run.describe_input(name)
        if spec is None:
            raise TypeError("a section is described")
        write_onnx(put_input_in_front(read_onnx(path, trusted=True), spec), made, step="input")
        before, after = HostSession(path), HostSession(made)
        plain = run.bind_plain(path, data=sensed.processed)
        fed = run.bind_evaluation(made)
        count = min(PARITY_SAMPLES, len(fed))
        pairs = ((before.run(plain[index]), after.run(fed[index])) for index in range(count))
        write_json(folder / "input.json", {"input": asdict(spec), "sqnr_db": check_float_parity("input", pairs)})

    return run.stage("input", inputs, build)


def _find_only(names: list[str]) -> str:
    if len(names) != 1:
        raise usage(
            "the model has several inputs",
            where="input.name",
            expected=f"one of {', '.join(names)}",
            found="none",
            fix="name the one that the sensor feeds",
        )
    return names[0]
