"""Boards that are shown pictures: the payload gives back what it is fed, so that every bit of it is seen."""

import onnx.parser

from tests.agent.application.boards import make_payload_bundle


def make_camera_bundle(resize, layout, colour):
    channels = 1 if colour == "grey" else 3
    shape = {"NHWC": [None, 12, 16, channels], "NCHW": [None, channels, 12, 16]}[layout]
    spec = {"type": "uint8", "layout": layout, "colour": colour, "height": 12, "width": 16, "resize": resize}
    spec = {**spec, "fill": 114, "crop_share": 0.8 if resize == "crop" else 1.0}
    graph = {"scale": 1.0, "mean": [0.0], "std": [1.0], "model_layout": None, "model_colour": None}
    axes = ",".join("N" if size is None else str(size) for size in shape)
    head = f'<ir_version: 9, opset_import: ["" : 17]> net (uint8[{axes}] input) => (float[{axes}] logits)'
    model = onnx.parser.parse_model(head + "{ logits = Cast <to = 1> (input) }")
    return make_payload_bundle(
        "float32",
        content=model.SerializeToString(),
        inputs=[{"name": "input", "dtype": "uint8", "shape": shape}],
        outputs=[{"name": "logits", "dtype": "float32", "shape": shape}],
        input={"name": "input", "picture": spec, "sound": None, "in_graph": graph, "text": None},
    )


def make_detector_bundle(decoder):
    """Return a bundle that takes each six bytes of the picture in its input for a box, a score and a class."""
    spec = {"type": "uint8", "layout": "NHWC", "colour": "BGR", "height": 12, "width": 16, "resize": "letterbox"}
    graph = {"scale": 1.0, "mean": [0.0], "std": [1.0], "model_layout": None, "model_colour": None}
    text = """<ir_version: 9, opset_import: ["" : 17]> net (uint8[N,12,16,3] input) => (float[N,96,6] logits)
        <int64[3] sizes = {0, 96, 6}> { made = Cast <to = 1> (input) logits = Reshape (made, sizes) }"""
    return make_payload_bundle(
        "float32",
        content=onnx.parser.parse_model(text).SerializeToString(),
        inputs=[{"name": "input", "dtype": "uint8", "shape": [None, 12, 16, 3]}],
        outputs=[{"name": "logits", "dtype": "float32", "shape": [None, 96, 6]}],
        input={
            "name": "input",
            "picture": {**spec, "fill": 114, "crop_share": 1.0},
            "sound": None,
            "in_graph": graph,
            "text": None,
        },
        decoder=decoder,
    )
