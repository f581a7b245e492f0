import json

import pytest

from toolchain.agent.measure.tensorrt.inspector import list_kernels, list_kinds, read_placement
from toolchain.agent.measure.tensorrt.macs import MultiplyLayer

# A layer as TensorRT 8.4 to 10 print it, put together from its documentation and public logs.
CONVOLUTION = {
    "Name": "conv1 + relu1",
    "LayerType": "CaskConvolution",
    "Inputs": [
        {
            "Name": "input",
            "Location": "Device",
            "Dimensions": [1, 64, 56, 56],
            "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format",
        }
    ],
    "Outputs": [
        {
            "Name": "output",
            "Location": "Device",
            "Dimensions": [1, 64, 56, 56],
            "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format",
        }
    ],
    "ParameterType": "Convolution",
    "Weights": {"Type": "Int8", "Count": 36864},
    "Bias": {"Type": "Float", "Count": 64},
    "TacticName": "sm80_xmma_fprop_implicit_gemm_interleaved_i8i8_i8i32_f32_nchw_vect_c_32kcrs_vect_c_32",
    "Metadata": "[ONNX Layer: /conv1/Conv]\u001e[ONNX Layer: /relu1/Relu]",
}


def read_precision(*layers, name="/conv1/Conv"):
    text = json.dumps({"Layers": layers, "Bindings": ["input", "output"]})
    return read_placement(text, [MultiplyLayer(name=name, op="CONVOLUTION", macs=10)]).layers[0].precision


def change(**fields):
    return {**CONVOLUTION, **fields}


@pytest.mark.parametrize(
    ("tactic", "precision"),
    [
        ("sm80_xmma_fprop_implicit_gemm_interleaved_i8i8_i8i32_f32_nchw_vect_c_32", "int8"),
        ("sm80_xmma_gemm_i8f32_i8i32_f32_by_fusion_tactic", "int8"),
        ("sm80_xmma_fprop_implicit_gemm_f16f16_f16f32_f32_nhwckrsc_nhwc", "fp16"),
        ("sm80_xmma_gemm_f16f16_f16f16_f16_nn_n_tilesize32x32x64", "fp16"),
        ("sm86_xmma_gemm_f32f32_tf32f32_f32_tn_n", "tf32"),
        ("sm80_xmma_gemm_f32f32_f32f32_f32_nn", "float32"),
        ("sm80_xmma_gemm_bf16bf16_bf16f32_f32_tn_n", "bf16"),
    ],
)
def test_the_name_of_a_kernel_tells_what_it_multiplies(tactic, precision):
    assert read_precision(change(TacticName=tactic, Inputs=[], Weights={})) == precision


@pytest.mark.parametrize(
    ("text", "precision"),
    [
        ("Thirty-two wide channel vectorized row major Int8 format", "int8"),
        ("Channel major FP16 format where channel % 8 == 0", "fp16"),
        ("Half", "fp16"),
        ("Row major linear FP32", "float32"),
        ("Float", "float32"),
        ("N/A due to dynamic shapes", "unknown"),
    ],
)
def test_without_a_telling_name_the_type_of_the_input_does(text, precision):
    inputs = [{"Name": "input", "Format/Datatype": text}]
    assert read_precision(change(TacticName="0x1234", Inputs=inputs, Weights=None)) == precision


def test_int8_data_with_float_weights_is_not_called_int8():
    assert read_precision(change(TacticName="", Weights={"Type": "Half", "Count": 9})) == "unknown"


def test_a_fused_kernel_of_another_kind_says_nothing_by_its_input():
    assert read_precision(change(TacticName="__myl_fused_0x12", LayerType="kgen")) == "unknown"


def test_a_layer_is_found_by_its_name_where_there_is_no_metadata():
    layer = change(Metadata="", Name="/conv1/Conv + /relu1/Relu")
    assert read_precision(layer) == "int8"


def test_the_conversion_of_the_weights_does_not_hide_the_layer():
    conversion = {"Name": "convert", "LayerType": "Reformat", "Metadata": "[ONNX Layer: /conv1/Conv]"}
    assert read_precision(CONVOLUTION, conversion) == "int8"
    assert read_precision(conversion, CONVOLUTION) == "int8"


def test_a_layer_that_the_engine_does_not_name_is_unknown():
    assert read_precision(CONVOLUTION, name="/other/Conv") == "unknown"


def test_an_engine_that_tells_names_alone_is_unknown():
    assert read_precision("/conv1/Conv + /relu1/Relu") == "unknown"


def test_shares_are_of_the_macs_and_unknown_is_no_int8():
    layers = [MultiplyLayer("/conv1/Conv", "CONVOLUTION", 30), MultiplyLayer("/other/Conv", "CONVOLUTION", 10)]
    placement = read_placement(json.dumps({"Layers": [CONVOLUTION]}), layers)
    assert placement.precision_share_macs == {"int8": 0.75, "unknown": 0.25}


REFORMAT = {"Name": "Reformatting CopyNode for Input Tensor 0 to a + b", "LayerType": "Reformat", "Metadata": ""}


def list_all(*layers):
    text = json.dumps({"Layers": layers, "Bindings": []})
    return list_kernels(text), list_kinds(text)


def test_a_kernel_does_the_work_of_the_nodes_that_its_metadata_names():
    assert list_all(CONVOLUTION) == (
        {"conv1 + relu1": ("/conv1/Conv", "/relu1/Relu")},
        {"conv1 + relu1": "CaskConvolution"},
    )


def test_without_metadata_a_kernel_does_the_work_of_what_it_is_named_after():
    assert list_all({"Name": "a + b", "LayerType": "CaskConvolution"})[0] == {"a + b": ("a", "b")}


def test_a_conversion_between_formats_does_the_work_of_no_layer_though_its_name_has_one():
    assert list_all(REFORMAT)[0] == {REFORMAT["Name"]: ()}


def test_kernels_of_one_name_do_the_work_of_all_their_nodes():
    second = change(Metadata="[ONNX Layer: /conv2/Conv]")
    assert list_all(CONVOLUTION, second)[0] == {"conv1 + relu1": ("/conv1/Conv", "/relu1/Relu", "/conv2/Conv")}


def test_of_an_engine_without_details_no_kernel_is_known():
    assert list_all("conv1", "relu1") == ({}, {})
