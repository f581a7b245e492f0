"""A TensorRT without a GPU: it "builds" an ONNX file by keeping it, and runs it with ONNX Runtime.

It has the names and signatures of the real bindings (test_fakes.py holds it against the recordings), and TensorRT's
habits: None or False where something fails, and the reason in the log alone.
"""

import ctypes
import enum
import hashlib
import json
import weakref
from collections import defaultdict

import numpy as np
import onnx
import onnxruntime

from tests.agent.measure.tensorrt.used_names import TENSORRT_OBJECTS, list_tensorrt_uses

_KINDS = {"Conv": "CONVOLUTION", "Gemm": "MATRIX_MULTIPLY", "MatMul": "MATRIX_MULTIPLY"}
_TYPES = {"float32": "FLOAT", "float16": "HALF", "int64": "INT64", "bool": "BOOL"}


def _make_enums():
    """Return the enumerations with exactly the members that the agent names."""
    members = defaultdict(list)
    for use in list_tensorrt_uses():
        owner, _, member = use.name.partition(".")
        if member.isupper() and owner not in (*TENSORRT_OBJECTS.values(), "ILogger"):
            members[owner].append(member)
    members["LayerType"].append("OTHER")
    members["TensorLocation"].append("HOST")
    return {name: enum.IntEnum(name, found, start=0) for name, found in members.items()}


def _read_shape(value):
    return tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in value.type.tensor_type.shape.dim)


class ILogger:
    INTERNAL_ERROR, ERROR = range(2)


class IProgressMonitor:
    pass


class IProfiler:
    pass


class ITensor:
    def __init__(self, name, shape):
        self.name, self.shape = name, shape


class ILayer:
    def __init__(self, node, kind, inputs, output, weights):
        self.name, self.type = node.name, kind
        self._inputs, self._output = inputs, output
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        self.num_groups = attributes.get("group", 1)
        self.kernel_size_nd = tuple(weights.shape[2:]) if weights is not None else ()
        self.op0 = 0

    def get_input(self, index):
        return self._inputs[index]

    def get_output(self, index):
        return self._output


class IConvolutionLayer(ILayer):
    pass


class IDeconvolutionLayer(ILayer):
    num_output_maps = 0


class IMatrixMultiplyLayer(ILayer):
    pass


class INetworkDefinition:
    def __init__(self):
        self.model, self._inputs, self._layers = None, [], []

    num_inputs = property(lambda self: len(self._inputs))
    num_layers = property(lambda self: len(self._layers))

    def get_input(self, index):
        return self._inputs[index]

    def get_layer(self, index):
        return self._layers[index]

    def read(self, model, layer_types):
        graph = onnx.shape_inference.infer_shapes(model).graph
        shapes = {value.name: _read_shape(value) for value in (*graph.input, *graph.value_info, *graph.output)}
        weights = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
        shapes |= {name: array.shape for name, array in weights.items()}
        self.model = model
        self._inputs = [ITensor(value.name, shapes[value.name]) for value in graph.input]
        for node in graph.node:
            kind = layer_types[_KINDS.get(node.op_type, "OTHER")]
            tensors = [ITensor(name, shapes.get(name, ())) for name in node.input]
            output = ITensor(node.output[0], shapes.get(node.output[0], ()))
            constant = next((weights[name] for name in node.input if name in weights and weights[name].ndim > 1), None)
            if kind == layer_types.CONVOLUTION and constant is None:
                constant = next(array for array in weights.values() if array.ndim == 4)  # behind a DequantizeLinear
            self._layers.append(ILayer(node, kind, tensors, output, constant))


class IBuilderConfig:
    def __init__(self, trt):
        self._trt = trt
        self.flags = {trt.BuilderFlag.TF32}  # the default of TensorRT
        self.pools, self.profile, self.timings = {}, {}, b""
        self.default_device_type = self.DLA_core = self.profiling_verbosity = self.progress_monitor = None

    def set_flag(self, flag):
        self.flags.add(flag)

    def clear_flag(self, flag):
        self.flags.discard(flag)

    def set_memory_pool_limit(self, pool, pool_size):
        self.pools[pool] = pool_size

    def add_optimization_profile(self, profile):
        self.profile = profile.shapes
        return 0

    def can_run_on_DLA(self, layer):
        return layer.name not in self._trt.not_on_dla

    def create_timing_cache(self, serialized_timing_cache):
        return ITimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache, ignore_mismatch):
        if cache.data and not cache.data.startswith(b"timings"):
            return False
        self.timings = cache.data
        return True

    def get_timing_cache(self):
        return ITimingCache(b"timings of " + self._trt.__version__.encode())


class ITimingCache:
    def __init__(self, data):
        self.data = data

    def serialize(self):
        return self.data


class IOptimizationProfile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, input, min, opt, max):
        self.shapes[input] = [list(min), list(opt), list(max)]


class ParserError:
    def __init__(self, node):
        self._node = node

    def desc(self):
        return "no importer for this operator"

    def node_name(self):
        return self._node.name

    def node_operator(self):
        return self._node.op_type


class OnnxParser:
    def __init__(self, network, logger):
        self._network, self._errors = network, []

    num_errors = property(lambda self: len(self._errors))

    def parse(self, model, path=None):
        loaded = onnx.load_model_from_string(model)
        self._errors = [ParserError(node) for node in loaded.graph.node if node.op_type.startswith("NoSuch")]
        if not self._errors:
            self._network.read(loaded, self._network.trt.LayerType)
        return not self._errors

    def get_error(self, index):
        return self._errors[index]


class EngineInspector:
    def __init__(self, engine):
        self._engine = engine

    def get_engine_information(self, format):
        layers = []
        for node in self._engine.model.graph.node:
            int8 = any(name.endswith("_dq") for name in node.input)
            tactic = (
                "sm80_xmma_fprop_implicit_gemm_i8f32_i8i32_f32_nhwc" if int8 else "sm80_xmma_gemm_f32f32_f32f32_f32_nn"
            )
            layers.append(
                {
                    "Name": node.name,
                    "LayerType": "CaskConvolution" if node.op_type == "Conv" else "CaskGemmMatrixMultiply",
                    "Inputs": [{"Name": node.input[0], "Format/Datatype": "Int8" if int8 else "Float"}],
                    "TacticName": tactic if node.op_type in _KINDS else "",
                    "Metadata": f"[ONNX Layer: {node.name}]",
                }
            )
        return json.dumps({"Layers": layers, "Bindings": []})


class IExecutionContext:
    def __init__(self, trt, engine):
        self._trt, self._engine, self._profiler = trt, engine, None
        self._shapes, self._addresses = {}, {}

    def set_input_shape(self, name, shape):
        fixed = self._engine.get_tensor_shape(name)
        least, _, most = self._engine.get_tensor_profile_shape(name, 0) if -1 in fixed else (fixed, fixed, fixed)
        self._shapes[name] = tuple(shape)
        within = all(low <= length <= high for low, length, high in zip(least, shape, most, strict=True))
        return within and not self._trt.is_failing("set_input_shape")

    def get_tensor_shape(self, name):
        zeros = {item: np.zeros(shape, np.float32) for item, shape in self._shapes.items()}
        names = [value.name for value in self._engine.session.get_outputs()]
        return self._engine.session.run(names, zeros)[names.index(name)].shape

    def set_tensor_address(self, name, memory):
        self._addresses[name] = memory
        return not self._trt.is_failing("set_tensor_address")

    profiler = property(lambda self: self._profiler, lambda self, profiler: setattr(self, "_profiler", profiler))

    def execute_async_v3(self, stream_handle):
        if self._trt.is_failing("execute_async_v3"):
            return False
        if self._profiler is not None:
            for name, time_ms in self._trt.list_kernel_times(self._engine):
                self._profiler.report_layer_time(name, time_ms)
        shapes = dict(self._shapes)
        self._trt.cudart.do(lambda: self._compute(shapes))
        return True

    def _compute(self, shapes):
        feeds = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        for name, array in feeds.items():
            ctypes.memmove(array.ctypes.data, self._addresses[name], array.nbytes)
        names = [value.name for value in self._engine.session.get_outputs()]
        for name, array in zip(names, self._engine.session.run(names, feeds), strict=True):
            found = np.ascontiguousarray(array)
            ctypes.memmove(self._addresses[name], found.ctypes.data, found.nbytes)


class ICudaEngine:
    def __init__(self, trt, header, model):
        self._trt, self._profile = trt, header["profile"]
        self.model = onnx.load_model_from_string(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        graph = self.model.graph
        self._values = {value.name: value for value in (*graph.input, *graph.output)}
        self._inputs = [value.name for value in graph.input]

    num_io_tensors = property(lambda self: len(self._values))

    def get_tensor_name(self, index):
        return list(self._values)[index]

    def get_tensor_mode(self, name):
        return self._trt.TensorIOMode["INPUT" if name in self._inputs else "OUTPUT"]

    def get_tensor_dtype(self, name):
        kind = onnx.helper.tensor_dtype_to_np_dtype(self._values[name].type.tensor_type.elem_type)
        return self._trt.DataType[_TYPES[str(kind)]]

    def get_tensor_location(self, name):
        return self._trt.TensorLocation["HOST" if name in self._trt.on_host else "DEVICE"]

    def get_tensor_shape(self, name):
        return _read_shape(self._values[name])

    def get_tensor_profile_shape(self, name, profile_index):
        return self._profile.get(name) or [[], [], []]  # an engine of fixed shapes has no profile of ours

    def create_execution_context(self):
        if self._trt.is_failing("create_execution_context"):
            return None
        context = IExecutionContext(self._trt, self)
        self._trt.alive.add(context)
        return context

    def create_engine_inspector(self):
        return EngineInspector(self)


class FakeTensorRt:
    """The module `tensorrt` of one version on one GPU."""

    ILogger = ILogger
    IProgressMonitor = IProgressMonitor
    IProfiler = IProfiler
    OnnxParser = OnnxParser
    IConvolutionLayer = IConvolutionLayer
    IDeconvolutionLayer = IDeconvolutionLayer
    IMatrixMultiplyLayer = IMatrixMultiplyLayer

    def __init__(self, cudart, *, version="10.3.0", architecture="sm_87", dla_cores=0):
        self.__version__ = version
        self.cudart, self.architecture, self.dla_cores = cudart, architecture, dla_cores
        self.failing, self.not_on_dla, self.on_host = set(), set(), set()
        self.deserialized, self.configs, self.networks_flags = [], [], []
        self.builds = self.profiled_runs = 0
        self.kernel_ms = {}
        """By the name of a node and "int8" or "float"."""
        self.build_steps = 3
        self.alive = weakref.WeakSet()
        """Engines and contexts that something still holds."""
        for name, kind in _make_enums().items():
            setattr(self, name, kind)
        trt = self

        class Builder:
            num_DLA_cores = property(lambda self: trt.dla_cores)

            def __init__(self, logger):
                if trt.is_failing("Builder"):
                    raise TypeError("pybind11::init(): factory function returned nullptr")
                self._logger = logger

            def create_network(self, flags=0):
                trt.networks_flags.append(flags)
                network = INetworkDefinition()
                network.trt = trt
                return network

            def create_builder_config(self):
                trt.configs.append(IBuilderConfig(trt))
                return trt.configs[-1]

            def create_optimization_profile(self):
                return IOptimizationProfile()

            def build_serialized_network(self, network, config):
                return trt.build(self._logger, network, config)

        class Runtime:
            def __init__(self, logger):
                self._logger = logger

            def deserialize_cuda_engine(self, serialized_engine):
                return trt.deserialize(self._logger, serialized_engine)

        self.Builder = Builder
        self.Runtime = Runtime

    def is_failing(self, name):
        return name in self.failing

    def list_kernel_times(self, engine):
        """Yield the name of each kernel and what it takes: 1 ms, in int8 half of it, or what a test says by the node's name."""
        self.profiled_runs += 1
        yield "Reformatting CopyNode for Input Tensor 0", 0.25
        for node in engine.model.graph.node:
            if node.op_type in _KINDS:
                kind = "int8" if any("dequantized" in name or name.endswith("_dq") for name in node.input) else "float"
                time_ms = self.kernel_ms.get((node.name, kind), 0.5 if kind == "int8" else 1.0)
                yield node.name, time_ms(self.profiled_runs) if callable(time_ms) else time_ms

    def build(self, logger, network, config):
        self.builds += 1
        monitor = config.progress_monitor
        monitor.phase_start("Building Engine", None, self.build_steps)
        monitor.phase_start("Tactics", "Building Engine", 1000)
        for step in range(self.build_steps):
            monitor.step_complete("Tactics", step)
            if not monitor.step_complete("Building Engine", step):
                return None
        monitor.phase_finish("Tactics")
        monitor.phase_finish("Building Engine")
        if self.is_failing("build_serialized_network"):
            logger.log(2, "only a warning")
            logger.log(ILogger.ERROR, "Error Code 10: could not find any implementation\nfor a node")
            return None
        header = {"version": self.__version__, "architecture": self.architecture, "profile": config.profile}
        # Two builds are never the same bytes, as with TensorRT.
        header["build"] = self.builds
        return json.dumps(header).encode() + b"\0" + network.model.SerializeToString()

    def deserialize(self, logger, data):
        self.deserialized.append(hashlib.sha256(data).hexdigest())
        header, _, model = data.partition(b"\0")
        found = json.loads(header)
        if (found["version"], found["architecture"]) != (self.__version__, self.architecture):
            logger.log(ILogger.ERROR, "Version tag does not match")
            return None
        engine = ICudaEngine(self, found, model)
        self.alive.add(engine)
        return engine
