from toolchain.lower.cpu_scheme import choose_scheme


def test_weights_have_7_bits_without_vnni_and_8_with_it_and_on_arm():
    assert choose_scheme("x86_64", frozenset({"avx2"}), "auto").weight_bits == 7
    assert choose_scheme("x86_64", frozenset({"avx_vnni"}), "auto").weight_bits == 8
    assert choose_scheme("aarch64", frozenset(), "auto").weight_bits == 8


def test_the_target_decides_the_activation_type():
    assert choose_scheme("x86_64", frozenset(), "int8").activation_type == "int8"
    assert choose_scheme("x86_64", frozenset(), "auto").activation_type == "uint8"
