"""The float model and the data that it is judged on: whether they fit each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.metrics import Targets, find_metric, list_read_outputs
from toolchain.agent.measure.scoring import Scoring
from toolchain.agent.measure.tallies.masks import MaskOptions
from toolchain.agent.measure.targets import LABELS, slice_target
from toolchain.data.dataset import find_labels, name_sample
from toolchain.errors import ExitCode, ToolchainError, usage
from toolchain.project.members import find_member
from toolchain.project.seams import METRICS
from toolchain.run.cache import Entry
from toolchain.stages.prove_input import prove_input
from toolchain.stages.prove_text import prove_rows
from toolchain.stages.run import Run

if TYPE_CHECKING:
    from torch import nn

# As much as int8 has to keep. Scales that a dynamically quantized file takes of a whole batch leave 30 dB and more.
_NEIGHBOURS_DB_MIN = 20.0

FloatModel = Callable[[int], dict[str, NDArray[Any]]]
"""From the index of an evaluation sample to the model's outputs for it, `(1, …)`."""


def open_module(run: Run, module: nn.Module) -> FloatModel:
    """Return what runs the module; raises ToolchainError (exit 2) where the data's arrays are not its inputs."""
    from toolchain.module.forward import bind_inputs
    from toolchain.module.pytorch_run import run_pytorch

    evaluation = run.data.evaluation
    bind_inputs(module, list(evaluation.batch(0, 1)))
    prove_rows(run, lambda arrays: run_pytorch(module, arrays))
    return lambda index: run_pytorch(module, evaluation.batch(index, index + 1))


def open_imported(run: Run, imported: Entry) -> FloatModel:
    """Return what runs the recipe's own ONNX file; raises ToolchainError (exit 2) as open_module does."""
    from toolchain.graph.session import open_as_board

    path = imported.folder / "model.onnx"
    feeds = run.bind_plain(path)
    session = open_as_board(path, threads=1)
    prove_rows(run, session.run)
    return lambda index: session.run(feeds[index])


def examine_neighbours(run: Run, imported: Entry) -> list[str]:
    """Refuse (exit 2) an ONNX file whose answer for a sample is another one beside a second; warn of one that is a little so.

    Its samples are run one at a time, here and on the board. Where its first axis is that of a whole, as time is, the data has
    an axis of samples in front, and nothing is asked.
    """
    from toolchain.graph.independence import find_dependence
    from toolchain.graph.session import open_as_board

    path = imported.folder / "model.onnx"
    feeds, arrays = run.bind_plain(path), run.data.evaluation.batch(0, 1)
    is_batch = all(
        spec.shape and spec.shape[0] is None and arrays[feeds.names[spec.name]].ndim == len(spec.shape)
        for spec in feeds.inputs
    )
    if len(feeds) == 1 or not is_batch:
        return []
    found = find_dependence(open_as_board(path, threads=1).run, [feeds[0], feeds[len(feeds) - 1]])
    if found is None:
        return []
    name, sqnr_db = found
    if sqnr_db >= _NEIGHBOURS_DB_MIN:
        beside = f"the answer for a sample depends on the samples beside it ({sqnr_db:.1f} dB in a batch of 2)"
        return [f"output {name}: {beside}; it is proven one sample at a time"]
    raise usage(
        "the model's answer for a sample depends on the samples beside it",
        where=f"output {name}",
        expected="the same answer for a sample alone as in a batch of 2",
        found=f"{sqnr_db:.1f} dB of it",
        fix="export the model in evaluation mode (model.eval()): BatchNormalization without training_mode; or with a batch "
        "of 1 that is fixed, where it is meant so",
    )


def judges_classes(run: Run) -> bool:
    """Return whether the metric compares scores of classes with labels: then more is known of both."""
    scoring = run.scoring
    if scoring is None or run.answer is not None or scoring.is_decoded or scoring.targets != (LABELS,):
        return False
    return find_labels(run.data.evaluation) is not None


def examine_data(run: Run, model: FloatModel) -> list[str]:
    """Refuse data that can prove nothing about the model; return what weakens a verdict on it, one sentence each.

    Raises ToolchainError: exit 2 for labels that are none of the model's outputs, exit 20 for evaluation samples on
    which any model looks right.
    """
    from toolchain.data.proof import refuse_worthless, warn_of_weakness
    from toolchain.data.survey import survey_samples

    warnings = prove_input(run)
    warnings += [] if run.scoring is None else _check_outputs(run, run.scoring, model)
    evaluation = survey_samples(run.data.evaluation, run.count_evaluation())
    refuse_worthless(evaluation, where=run.name_data())
    calibrating = min(run.recipe.data.calibration_samples, len(run.data.calibration))
    warnings += warn_of_weakness(survey_samples(run.data.calibration, calibrating), evaluation)
    return warnings


def judge_model(run: Run, model: FloatModel) -> list[str]:
    """Refuse a model that is not proven to be better than chance (exit 2), or returns NaN (exit 18); return what cannot be told.

    What a constant answer is worth is known of a metric over class labels alone; others ask for the targets of other samples.
    """
    if run.metric_name is None or run.scoring is None:
        return []
    from toolchain.data.blind_decoder import refuse_blind_decoder

    evaluation = run.data.evaluation
    refuse_blind_decoder(
        run.scoring,
        lambda index: (evaluation.batch(index, index + 1), model(index)),
        samples=run.count_evaluation(),
        where=f"{run.recipe.path}: output.decode",
    )
    if run.answer is not None:
        return _judge_own_answers(run, run.scoring, run.answer, model)
    if not judges_classes(run):
        from toolchain.data.permutation import judge_by_permutation

        return judge_by_permutation(
            run.scoring,
            lambda index: (evaluation.batch(index, index + 1), model(index)),
            run.take_targets(),
            drop_max=run.recipe.gates.metric_drop_max,
            where=run.name_data(),
        )
    from toolchain.data.chance import answers_right, judge_float_model, measure_chance

    metric, labels = find_metric(run.metric_name), _take_labels(run)

    def is_right(index: int) -> bool:
        scores = _read_scores(run.metric_name or "", model(index))
        if np.isnan(scores).any():  # the largest of them is none
            raise ToolchainError(
                ExitCode.PARITY,
                "the float model itself returns NaN",
                where=f"{name_sample(run.data.evaluation, index)} of the evaluation",
                expected="numbers",
                found=f"NaN in {np.count_nonzero(np.isnan(scores))} of {scores.size} scores",
                fix="check the weights and the preprocessing of the data",
            )
        return answers_right(metric, scores, int(labels[index]))

    classes = _read_scores(run.metric_name, model(0)).shape[1]
    return judge_float_model(is_right, labels, chance=measure_chance(metric, labels, classes), where=run.name_data())


def _judge_own_answers(
    run: Run, scoring: Scoring, answer: Callable[[Targets], Targets], model: FloatModel
) -> list[str]:
    from toolchain.data.agreement_proof import judge_own_answers

    evaluation = run.data.evaluation
    return judge_own_answers(
        scoring,
        lambda index: scoring.decode(model(index), evaluation.batch(index, index + 1)),
        answer,
        samples=run.count_evaluation(),
        drop_max=run.recipe.gates.metric_drop_max,
        where=run.name_data(),
    )


def _check_outputs(run: Run, scoring: Scoring, model: FloatModel) -> list[str]:
    """Refuse outputs that the metric cannot read, and labels that are none; return what is in doubt about the others."""
    outputs, inputs = model(0), run.data.evaluation.batch(0, 1)
    if run.answer is None:
        _check_targets(run, scoring, outputs, inputs)
    targets: Targets = {name: slice_target(target, 0, 1) for name, target in run.take_targets().items()}
    if run.answer is not None:
        targets = run.answer(scoring.decode(outputs, inputs))
    scoring.start().add(outputs, targets, inputs)
    if not judges_classes(run):
        return []
    from toolchain.data.labels import check_labels, describe_missing_classes

    classes, count = run.data.classes, _read_scores(scoring.name, outputs).shape[1]
    check_labels(run.data.evaluation, run.count_evaluation(), outputs=count, where=run.name_data(), classes=classes)
    doubt = describe_missing_classes(classes, outputs=count, where=f"the data set {run.data.name}")
    return [] if doubt is None else [doubt]


def _check_targets(
    run: Run, scoring: Scoring, outputs: dict[str, NDArray[Any]], inputs: dict[str, NDArray[Any]]
) -> None:
    """Refuse (exit 2) targets that no such model is measured by; a metric of the user's own reads what it likes."""
    from toolchain.data.target_faults import Answers, refuse_faulty_targets

    if not find_member(METRICS, scoring.name).is_ours or judges_classes(run):
        return
    evaluation = run.data.evaluation
    read = {name: outputs[name] for name in scoring.list_read(list(outputs))}
    made = scoring.decode(read, inputs) if scoring.is_decoded else {"values": next(iter(read.values()))}
    answers = Answers(
        classes=scoring.count_classes(read),
        letters=scoring.list_letters(),
        ignored=run.recipe.task.metric_options.get("ignore", MaskOptions.ignore),
        shapes={name: array.shape[1:] for name, array in made.items() if isinstance(array, np.ndarray)},
    )
    refuse_faulty_targets(
        evaluation,
        scoring.list_targets(list(evaluation.targets)),
        run.count_evaluation(),
        answers=answers,
        where=run.name_data(),
    )


def _take_labels(run: Run) -> NDArray[np.int64]:
    labels = find_labels(run.data.evaluation)
    if labels is None:
        raise TypeError("without labels no classes are judged")
    return labels[: run.count_evaluation()]


def _read_scores(metric_name: str, outputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Return the scores of one sample, `(1, classes)`, as the metric reads them; others are its error (exit 23)."""
    from toolchain.agent.measure.scores import read_scores

    read = list_read_outputs(find_metric(metric_name), list(outputs))
    return read_scores(metric_name, {name: outputs[name] for name in read}, 1)
