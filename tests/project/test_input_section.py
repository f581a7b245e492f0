import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.input_section import InputSection, describe_input
from toolchain.project.recipe import read_recipe

PLAIN = """
[model]
onnx = "model.onnx"
[data]
name = "npz"
options = { path = "data.npz" }
metric = "none"
[input]
"""


def read(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(PLAIN + text)
    return read_recipe(path)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "input.size"),
        ("size = [4, 6]\nrate_hz = 8000", "input.rate_hz"),
        ('kind = "sound"\ntype = "int16"', "input.rate_hz"),
        ('kind = "sound"\nrate_hz = 8000\ncolour = "grey"', "input.colour"),
        ('size = [4, 6]\ntype = "uint16"\nresize = "stretch"', "input.resize"),
        ("size = [4, 6]\nmean = [0.1, 0.2]", "input.mean"),
        ('size = [4, 6]\ncolour = "grey"\nstd = [0.1, 0.2, 0.3]', "input.std"),
        ("size = [4, 6]\nstd = [0.0]", "input"),
        ("size = [4, 6]\nscale = 0.0", "input"),
        ("size = [4]", "input.size"),
        ('size = [4, 6]\nresize = "tile"', "input.resize"),
        ('size = [4, 6]\ncolor = "RGB"', "input"),
    ],
)
def test_keys_that_cannot_be_true_are_refused_by_their_place(text, place, tmp_path):
    with pytest.raises(ToolchainError) as caught:
        read(tmp_path, text)
    assert caught.value.code == ExitCode.USAGE
    assert place in str(caught.value)


def test_a_camera_and_a_microphone_are_taken(tmp_path):
    camera = describe_input(read(tmp_path, 'size = [4, 6]\ncolour = "BGR"\nresize = "letterbox"').input, "x")
    assert (camera.picture.height, camera.picture.width, camera.type) == (4, 6, "uint8")
    assert (camera.in_graph.scale, camera.in_graph.model_colour) == (1 / 255, "RGB")
    sound = describe_input(read(tmp_path, 'kind = "sound"\ntype = "int16"\nrate_hz = 8000').input, "x")
    assert (sound.sound.rate_hz, sound.in_graph.scale, sound.picture) == (8000, 1 / 32768, None)


def test_a_recipe_without_the_table_says_nothing_of_a_sensor(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(PLAIN.replace("[input]\n", ""))
    assert read_recipe(path).input is None


def test_grey_stays_grey():
    assert describe_input(InputSection(size=[4, 6], colour="grey"), "x").in_graph.model_colour == "grey"
