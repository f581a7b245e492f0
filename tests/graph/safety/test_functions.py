import pytest

from toolchain.graph.safety.functions import check_functions

CALL = "m (float[N] x) => (float[N] y) { y = local.f0 (x) }"


def write_function(name: str, body: str) -> str:
    return f'<domain: "local", opset_import: ["" : 21, "local" : 1]> {name} (a) => (b) {{ {body} }}'


def write_chain(levels: int, *, times: int) -> str:
    """Return functions that each call the next so many times, and a last one that calls none."""
    last = write_function(f"f{levels}", "b = Relu (a)")
    names = ["a", *(f"t{index}" for index in range(times - 1)), "b"]
    return (
        "".join(
            write_function(
                f"f{level}", " ".join(f"{names[i + 1]} = local.f{level + 1} ({names[i]})" for i in range(times))
            )
            for level in range(levels)
        )
        + last
    )


@pytest.mark.parametrize("functions", [write_chain(0, times=1), write_chain(30, times=1), write_chain(10, times=2)])
def test_functions_that_call_others_pass(parse, functions):
    check_functions(parse(CALL + functions), "model.onnx")


def test_functions_that_call_each_other_in_a_circle_are_refused(parse, refuse):
    circle = write_function("f0", "b = local.f1 (a)") + write_function("f1", "b = local.f0 (a)")
    assert "calls itself" in refuse(check_functions, parse(CALL + circle))


def test_a_circle_that_nobody_calls_is_refused(parse, refuse):
    circle = write_function("f0", "b = Relu (a)") + write_function("f1", "b = local.f1 (a)")
    assert "calls itself" in refuse(check_functions, parse(CALL + circle))


def test_functions_that_multiply_are_refused(parse, refuse):
    assert "multiply" in refuse(check_functions, parse(CALL + write_chain(40, times=2)))


def test_functions_that_call_each_other_too_deeply_are_refused(parse, refuse):
    assert "too deeply" in refuse(check_functions, parse(CALL + write_chain(70, times=1)))
    model = parse(CALL + write_chain(3000, times=1))
    assert "too deeply" in refuse(check_functions, model)
    functions = list(reversed(model.functions))  # measured from the last on, no call is open for long
    del model.functions[:]
    model.functions.extend(functions)
    assert "too deeply" in refuse(check_functions, model)


def test_two_functions_of_one_name_are_refused(parse, refuse):
    function = write_function("f0", "b = Relu (a)")
    assert "one name" in refuse(check_functions, parse(CALL + function + function))
