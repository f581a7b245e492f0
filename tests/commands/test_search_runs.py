"""`toolchain compress --search`, by the real command, on the tiny project."""

import json

from tests.tiny_project import finish

COMMAND = ("compress", "tiny", "--search", "--target", "board", "--out", "found", "--quiet")


def add_search(project, *alternatives, **options):
    lines = ["[search]", *(f"{key} = {value}" for key, value in options.items())]
    lines += ["[[search.steps]]", 'name = "pruning"', "optional = false", f"alternatives = [{', '.join(alternatives)}]"]
    path = project.folder / "models" / "tiny" / "recipe.toml"
    path.write_text(path.read_text() + "\n" + "\n".join(lines) + "\n")


def prune(amount, **options):
    extra = "".join(f", {key} = {value}" for key, value in options.items())
    return f'{{ method = "magnitude_pruning", amount = {amount}{extra} }}'


def read(project, name):
    return json.loads((project.folder / "found" / name).read_text())


def read_trials(project):
    return read(project, "trials.json")["trials"]


def test_a_search_leaves_trials_a_front_a_page_and_recipes_that_deploy(project):
    add_search(project, prune("{ choices = [0.1, 0.2] }"))
    result = project.run(*COMMAND, "--trials", 4)
    assert (result.code, result.stdout) == (0, "found/front.html\n"), result.stderr
    trials = read_trials(project)
    assert [trial["number"] for trial in trials] == [0, 1, 2, 3]
    assert {trial["state"] for trial in trials} == {"complete"}
    for trial in trials:  # to draw the same again is no new point
        same = [other["number"] for other in trials if other["entries"] == trial["entries"]
                and other["precision"] == trial["precision"] and other["number"] < trial["number"]]  # fmt: skip
        assert trial.get("repeats") == (same[0] if same else None)
    front = read(project, "front.json")["front"]
    assert front
    assert "repeats" not in {key for point in front for key in point}
    assert "<svg" in (project.folder / "found" / "front.html").read_text()
    best = front[0]
    deployed = project.run(
        "deploy", f"found/{best['recipe']}", "--target", "board", "--precision", best["precision"], "--out", "again"
    )
    assert (deployed.code, deployed.stderr) == (0, deployed.stderr)
    report = project.read_report(project.folder / "again")
    assert report["artifact"]["size_bytes"] == best["size_bytes"]
    assert report["metric"]["deployed"] == best["metric"]
    assert {stage["name"]: stage["cached"] for stage in report["stages"]}["export"]  # the same model, from elsewhere
    assert not list((project.folder / "found" / "trials").glob("*/bundle"))


def test_a_search_that_was_killed_goes_on_and_the_killed_trial_does_not_count(project):
    add_search(project, prune("{ low = 0.1, high = 0.3 }"))
    process = project.start(*COMMAND, "--trials", 2)
    log = project.folder / "found" / "trials" / "0000"
    assert project.wait_for_in(log, process, "trial 0", "start")
    process.kill()
    process.communicate()
    result = project.run(*COMMAND, "--trials", 2)
    assert (result.code, result.stderr) == (0, result.stderr)
    assert [(trial["number"], trial["state"]) for trial in read_trials(project)] == [(1, "complete"), (2, "complete")]
    assert not log.exists()
    before = (project.folder / "found" / "trials.json").read_bytes()
    assert project.run(*COMMAND, "--trials", 2).code == 0  # there are enough
    assert (project.folder / "found" / "trials.json").read_bytes() == before


def test_two_workers_share_the_trials(project):
    add_search(project, prune("{ choices = [0.1, 0.2, 0.3] }"))
    storage = project.folder / "shared.journal"
    processes = [project.start(*COMMAND, "--trials", 4, "--storage", storage) for _ in range(2)]
    results = [finish(process) for process in processes]
    assert [(result.code, result.stderr) for result in results] == [(0, result.stderr) for result in results]
    assert [trial["number"] for trial in read_trials(project)] == [0, 1, 2, 3]


def test_a_model_that_falls_far_is_stopped_before_it_is_exported(project):
    add_search(project, prune(0.99), stop_drop=0.1)
    result = project.run(*COMMAND, "--trials", 1)
    assert result.code == 24
    project.assert_message(result.stderr, "metric")
    assert "0 complete, 1 stopped, 0 failed" in result.stderr
    (trial,) = read_trials(project)
    assert trial["state"] == "stopped"
    assert trial["drop"] > 0.1
    log = project.read_log(project.folder / "found" / "trials" / "0000")
    assert {line["stage"] for line in log} == {"trial 0", "compress-1-magnitude_pruning", "metric"}
    assert read(project, "front.json")["front"] == []


def test_a_trial_that_fails_is_recorded_and_where_all_do_their_error_is_the_commands(project):
    add_search(project, prune(0.5, skip='["*"]'))
    result = project.run(*COMMAND, "--trials", 2)
    assert result.code == 2
    project.assert_message(result.stderr, "usage")
    assert "every trial of the search failed" in result.stderr
    trials = read_trials(project)
    assert [trial["state"] for trial in trials] == ["failed", "failed"]
    assert trials[0]["error"]["what"] == "magnitude_pruning has nothing left to work on"


def test_a_trial_that_fails_does_not_end_the_search(project):
    add_search(project, prune(0.5, skip='["*"]'), prune(0.1), sampler='"random"')
    result = project.run(*COMMAND, "--trials", 6)
    assert (result.code, result.stderr) == (0, result.stderr)
    assert {trial["state"] for trial in read_trials(project)} == {"failed", "complete"}


def test_half_of_a_search_is_a_usage_error(project):
    result = project.run("compress", "tiny", "--trials", 3)
    assert result.code == 2
    project.assert_message(result.stderr, "usage")
