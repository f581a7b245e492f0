"""Distillation through the whole flow, by the real command, on the tiny project."""

import numpy as np

from tests.commands.conftest import draw_patterns


def add_student(project, name, seed):
    """Add a recipe that distills the tiny net from itself, on pictures that it is not evaluated on."""
    text = (project.folder / "models" / "tiny" / "recipe.toml").read_text()
    text = text.replace(
        'path = "../../data/tiny.npz"', 'path = "../../data/learn.npz", evaluation = "../../data/tiny.npz"'
    )
    entry = f"finetune = {{ epochs = 2, batch_size = 16, learning_rate = 0.0001, seed = {seed} }}"
    compress = f'[[compress]]\nmethod = "distillation"\nteacher = "tiny"\n{entry}\n'
    (project.folder / "models" / "tiny" / f"{name}.toml").write_text(f"{text}\n{compress}")


def test_a_distilled_model_is_deployed_and_a_second_student_shares_what_its_teacher_said(project):
    images, labels = draw_patterns(64, seed=1)
    np.savez(project.folder / "data" / "learn.npz", input=images, labels=labels)
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
