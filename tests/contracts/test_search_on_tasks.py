"""The search on a model of every task: a trial is judged by the task's metric in its direction, on the same samples."""

import io
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.contracts.answering_models import SAMPLES, TASKS, write_project
from toolchain.agent.measure.settings import DEFAULTS
from toolchain.deploy.local import LocalTransport
from toolchain.errors import ExitCode
from toolchain.project.members import list_members
from toolchain.project.recipe import read_recipe
from toolchain.project.seams import TASKS as SEAM
from toolchain.project.target import read_target
from toolchain.run.progress import Progress
from toolchain.search import SearchRequest, search_recipe
from toolchain.search import trial as trials
from toolchain.search.objectives import Objectives
from toolchain.search.reference import measure_reference
from toolchain.search.trial import Draw, EarlyStop, run_trial

BOARD = Path(__file__).parents[1] / "tiny/targets/board.toml"
KEPT = {"method": "linear_quantization", "bits": 8}
RUINED = {"method": "magnitude_pruning", "amount": 0.99}
LOWER_IS_BETTER = {"mae", "cer"}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def emulated():
    return read_target(BOARD).narrow("float32")


def test_every_task_is_searched():
    assert TASKS.keys() == list_members(SEAM).keys()


@pytest.mark.parametrize(
    ("task", "truth"),
    [
        *((task, "labels") for task in TASKS),
        *((task, "float") for task in ("detection", "transcription", "regression")),
    ],
)
def test_a_model_that_lost_what_it_knew_is_stopped_and_one_that_did_not_is_deployed(
    task, truth, tmp_path, monkeypatch, emulated
):
    """Whichever way the metric of the task goes; what is deployed is replaced by a word that it came so far."""
    path = write_project(tmp_path, task)
    text = path.read_text().replace(f'name = "{task}"', f'name = "{task}"\ntruth = "{truth}"')
    path.write_text(f"{text}\n[gates]\nmetric_drop_max = 0.1\n")
    deployed = []

    def deploy(recipe, target, **_):
        deployed.append((list(recipe.compress), target.precision))
        return REPORT

    monkeypatch.setattr(trials, "deploy_model", deploy)
    recipe, objectives = read_recipe(path), Objectives(metric=TASKS[task][0], emulated=True)
    with Progress(stream=io.StringIO()) as progress, LocalTransport(tmp_path / "trial") as transport:
        reference = measure_reference(recipe, samples=2000, progress=progress)
        assert len(reference.samples) == SAMPLES
        stop = EarlyStop(reference=reference, drop_max=0.5 if TASKS[task][0] == "mae" else 0.2)
        run = partial(
            run_trial, recipe, emulated, stop=stop, objectives=objectives, transport=transport, settings=DEFAULTS,
            progress=progress,
        )  # fmt: skip
        ruined = run(Draw(entries=[RUINED], precision="float32"))
        assert (ruined["state"], ruined["drop"] > stop.drop_max) == ("stopped", True), ruined
        assert not deployed
        kept = run(Draw(entries=[KEPT], precision="float32"))
    assert kept["state"] == "complete"
    assert deployed == [([KEPT], ["float32"])]
    assert objectives.directions[0] == ("minimize" if TASKS[task][0] in LOWER_IS_BETTER else "maximize")


REPORT = {
    "verdict": "pass", "exit_code": 0, "reasons": [], "artifact": {"size_bytes": 1}, "original": {"size_bytes": 1},
    "latency": None, "metric": {"deployed": 0.0, "reference": 0.0, "drop": 0.0, "unit": ""},
}  # fmt: skip


SEARCH = """
[search]
sampler = "random"
stop_drop = 1000.0

[[search.steps]]
name = "weights"
optional = false
alternatives = [{ method = "linear_quantization", bits = 8 }, { method = "magnitude_pruning", amount = { choices = [0.5, 0.95] } }]
"""


def test_of_trials_that_all_came_to_their_end_the_best_is_the_one_that_errs_least(tmp_path, emulated):
    path = write_project(tmp_path, "transcription")
    path.write_text(path.read_text() + SEARCH)
    request = SearchRequest(
        recipe=read_recipe(path), target=emulated, trials=3, storage=None, out=tmp_path / "out", settings=DEFAULTS
    )
    search_recipe(request, open_progress=lambda _: Progress(stream=io.StringIO()))
    records = json.loads((tmp_path / "out" / "trials.json").read_text())["trials"]
    front = json.loads((tmp_path / "out" / "front.json").read_text())["front"]
    assert {record["state"] for record in records} == {"complete"}
    best = min(record["metric"] for record in records)
    assert front[0]["metric"] == best
    for record in records:
        assert record["drop"] == pytest.approx(record["metric"] - record["reference"])
        assert (record["verdict"] == "pass") is (record["exit_code"] == ExitCode.PROVEN)
        assert record["verdict"] == "pass" or record["metric"] > best


def test_trials_of_another_evaluation_model_or_metric_are_no_neighbours(tmp_path):
    """What a folder holds was measured by what lies there now, whatever the paths say."""
    path = write_project(tmp_path, "regression")
    metric = "import numpy as np\nfrom ..scale import Scale\n"
    metric += 'TARGETS = ("values",)\nSCALE = Scale(unit="mm", worst=1e9, best=0.0)\n'
    metric += 'def off(outputs, targets):\n    return np.abs(outputs["output"] - targets["values"]).max(axis=1)\n'
    (path.parent / "own.py").write_text(metric)
    path.write_text(path.read_text().replace('metric = "mae"', 'metric = "own.py:off"'))

    def identify():
        with Progress(stream=io.StringIO()) as progress:
            return json.dumps(
                measure_reference(read_recipe(path), samples=8, progress=progress).identity, sort_keys=True
            )

    found = [identify()]
    assert identify() == found[0]
    data = dict(np.load(path.parent / "data.npz"))
    np.savez(path.parent / "data.npz", **{**data, "values": data["values"] + np.float32(0.001)})
    found.append(identify())
    (path.parent / "own.py").write_text(metric.replace(".max(", ".min("))
    found.append(identify())
    model = (path.parent / "model.py").read_text()
    (path.parent / "model.py").write_text(model + "\n\nOTHER = 1\n")
    found.append(identify())
    assert len(set(found)) == 4
