"""Distillation through the whole flow, by the real command, on the tiny project."""


def add_student(project, name, seed):
    """Add a recipe that distills the tiny net from itself."""
    finetune = f"finetune = {{ epochs = 2, batch_size = 16, learning_rate = 0.0001, seed = {seed} }}"
    project.add_learner(name, f'method = "distillation"\nteacher = "tiny"\n{finetune}')


def test_a_distilled_model_is_deployed_and_a_second_student_shares_what_its_teacher_said(cached_project):
    project = cached_project  # nothing of other tests is in its cache
    add_student(project, "one", seed=0)
    add_student(project, "two", seed=1)
    result = project.run("deploy", "tiny-one", "--target", "board", "--out", "one")
    project.assert_passed(result, project.folder / "one")
    stages = [stage["name"] for stage in project.read_report(project.folder / "one")["stages"]]
    assert "compress-1-distillation" in stages
    assert len(list(project.cache.glob("teacher/*/entry.json"))) == 1
    result = project.run("compress", "tiny-two", "-o", "two.safetensors")
    assert (result.code, result.stderr) == (0, result.stderr)
    assert len(list(project.cache.glob("teacher/*/entry.json"))) == 1
    assert not list(project.cache.glob("work/*"))
