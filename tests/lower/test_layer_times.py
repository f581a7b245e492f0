from toolchain.agent.measure.onnxruntime_profile import strip_name
from toolchain.lower.layer_times import name_layers, time_layers


def test_a_layer_is_known_by_its_node_its_tensor_and_the_activation_behind_it(residual):
    names = name_layers(residual, ["conv1", "gemm"])
    assert names == {"conv1": "conv1", "c1": "conv1", "r1": "conv1", "gemm": "gemm", "scores": "gemm"}


def test_what_the_runtime_adds_to_a_name_is_taken_off():
    assert strip_name("hardtanh_nchwc_kernel_time") == "hardtanh"
    assert strip_name("node_Conv_811_token_4_kernel_time") == "node_Conv_811"
    assert strip_name("fused Gemm_48_kernel_time") == "Gemm_48"
    assert strip_name("dense/MatMul/MatMulAddFusion_kernel_time") == "dense/MatMul"
    assert strip_name("layer_token") == "layer_token"


def test_every_layer_of_a_plain_model_is_found_in_the_profile(residual, images):
    times, run_us = time_layers(
        residual, ["conv1", "conv2", "gemm"], {"image": images["image"][:1]}, runtime="onnxruntime", threads=1
    )
    assert set(times) == {"conv1", "conv2", "gemm"}
    assert all(time >= 0 for time in times.values())
    assert run_us >= sum(times.values())
