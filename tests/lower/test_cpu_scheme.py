from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.runtimes.onnxruntime import int8_policy


def test_weights_have_7_bits_without_vnni_and_8_with_it_and_on_arm():
    assert choose_scheme("x86_64", frozenset({"avx2"}), "auto").weight_bits == 7
    assert choose_scheme("x86_64", frozenset({"avx_vnni"}), "auto").weight_bits == 8
    assert choose_scheme("aarch64", frozenset(), "auto").weight_bits == 8


def test_onnxruntime_keeps_8_bits_at_safe_scales_where_others_take_7():
    scheme = choose_scheme("x86_64", frozenset({"avx2"}), "auto")
    assert (scheme.weight_bits, scheme.saturates) == (7, True)
    policy = int8_policy(scheme)
    assert (policy.scheme.weight_bits, policy.scheme.saturates) == (8, True)
    assert "no VNNI" in policy.scheme.reason
    exact = choose_scheme("x86_64", frozenset({"avx_vnni"}), "auto")
    assert int8_policy(exact).scheme is exact


def test_the_target_decides_the_activation_type():
    assert choose_scheme("x86_64", frozenset(), "int8").activation_type == "int8"
    assert choose_scheme("x86_64", frozenset(), "auto").activation_type == "uint8"
