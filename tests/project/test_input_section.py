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
YUV = 'colour = "NV12"\nmatrix = "BT.601"\nrange = "limited"'


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
        ('size = [4, 6]\nmatrix = "BT.601"', "input.matrix"),
        ('size = [4, 6]\nrange = "full"', "input.range"),
        ('size = [4, 6]\ncolour = "NV12"', "input.matrix"),
        ('size = [4, 6]\ncolour = "NV12"\nmatrix = "BT.601"', "input.range"),
        (f"size = [4, 6]\n{YUV}", "input.prepared"),
        (f'size = [4, 5]\n{YUV}\nprepared = "p.npz"', "input.size"),
        (f'size = [4, 6]\n{YUV}\nprepared = "p.npz"\ntype = "uint16"', "input.type"),
        (f"size = [4, 6]\n{YUV}\nprepared = 'p.npz'\nmean = [0.1, 0.2]", "input.mean"),
        ('size = [4, 6]\ncolour = "YV12"', "input.colour"),
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


def test_a_yuv_camera_is_taken_and_its_payload_gets_rgb(tmp_path):
    section = read(tmp_path, f'size = [5, 7]\nresize = "letterbox"\n{YUV}\nprepared = "p.npz"').input
    picture = describe_input(section, "x").picture
    assert (picture.colour, picture.tensor_colour) == ("NV12/BT.601/limited", "RGB")
    assert picture.list_shape() == (None, 5, 7, 3)


def test_grey_stays_grey():
    assert describe_input(InputSection(size=[4, 6], colour="grey"), "x").in_graph.model_colour == "grey"
