"""Lists every TensorRT and CUDA name that the agent uses, from its source, so that none can be forgotten."""

import ast
from dataclasses import dataclass
from pathlib import Path

import toolchain.agent
from toolchain.agent.measure.tensorrt import cuda, dla, execution, macs

AGENT = Path(toolchain.agent.__file__).parent
FILES = (*sorted((AGENT / "measure" / "tensorrt").glob("*.py")), AGENT / "measure" / "runtimes" / "tensorrt.py")

# What the agent calls an object is what it is. `trt` and `cudart` are the modules themselves.
TENSORRT_OBJECTS = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "convolution": "IConvolutionLayer",
    "deconvolution": "IDeconvolutionLayer",
    "engine": "ICudaEngine",
    "inspector": "EngineInspector",
    "layer": "ILayer",
    "matmul": "IMatrixMultiplyLayer",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "parser_error": "ParserError",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "tensor": "ITensor",
    "timings": "ITimingCache",
    "trt": "",
}
CUDA_OBJECTS = {"cudart": "", "properties": "cudaDeviceProp"}
# What calls without a name of their own return.
_RETURNS = {"get_input": "ITensor", "get_output": "ITensor"}


@dataclass(frozen=True)
class Use:
    """A name such as Builder.create_network; of a call, the number of positional arguments and the names of the others."""

    name: str
    positional: int | None = None
    keywords: tuple[str, ...] = ()
    parameters: tuple[str, ...] | None = None
    """Of a method that TensorRT calls: the names of the parameters that the agent's has."""


def list_tensorrt_uses():
    uses = {use for path in FILES for use in _list_uses(_parse(path), TENSORRT_OBJECTS)}
    # Enumerators that the agent knows by the text of their name.
    uses |= {Use(f"DataType.{name}") for name in execution.DTYPES}
    uses |= {Use(f"LayerType.{name}") for name in (*dla.FOLDED, *macs.COUNTERS)}
    return sorted(uses, key=repr)


def list_cuda_uses():
    uses = {use for path in FILES for use in _list_uses(_parse(path), CUDA_OBJECTS)}
    for path in FILES:
        for node in ast.walk(_parse(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_call":
                uses.add(Use(node.args[0].value, positional=len(node.args) - 1))
    uses |= {Use(f"cudaError_t.{name}") for name in cuda.FIXES}
    return sorted(uses, key=repr)


def _parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def _find_owner(node, objects):
    """Return what an expression is: a class of the bindings, "" for the module, or None for anything else."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _RETURNS.get(node.func.attr) if _RETURNS.get(node.func.attr) in objects.values() else None
    if isinstance(node, ast.Attribute):
        owner = _find_owner(node.value, objects)
        if owner is not None:  # trt.BuilderFlag, of trt.BuilderFlag.TF32
            return node.attr if owner == "" else None
        return objects.get(node.attr.lstrip("_")) if isinstance(node.value, ast.Name) else None
    if isinstance(node, ast.Name):
        return objects.get(node.id)
    return None


def _name(owner, attribute):
    return f"{owner}.{attribute}" if owner else attribute


def _list_uses(tree, objects):
    nodes = list(ast.walk(tree))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    called = {call.func for call in calls}
    for call in calls:
        yield from _list_calls(call, objects)
    for node in nodes:
        if isinstance(node, ast.Attribute) and node not in called:
            owner = _find_owner(node.value, objects)
            if owner is not None:
                yield Use(_name(owner, node.attr))
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                yield from _list_overrides(node, _find_owner(base, objects))


def _list_calls(call, objects):
    if isinstance(call.func, ast.Attribute):
        owner = _find_owner(call.func.value, objects)
        if owner is not None:
            keywords = tuple(keyword.arg for keyword in call.keywords)
            yield Use(_name(owner, call.func.attr), positional=len(call.args), keywords=keywords)
    elif isinstance(call.func, ast.Name) and call.func.id == "getattr":
        owner = _find_owner(call.args[0], objects)
        if owner is not None and isinstance(call.args[1], ast.Constant):
            yield Use(_name(owner, call.args[1].value))


def _list_overrides(node, owner):
    if not owner:
        return
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and not item.name.startswith("_"):
            yield Use(f"{owner}.{item.name}", parameters=tuple(argument.arg for argument in item.args.args[1:]))
