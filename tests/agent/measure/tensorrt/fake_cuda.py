"""A CUDA runtime without a GPU: the memory of the "GPU" is the host's, every call is recorded and can be made to fail.

It has the names and signatures of cuda-bindings (test_fakes.py holds it against the recordings), copies for real, records
what is captured and plays it back, and knows what was not given back.
"""

import ctypes
import enum
import functools
from types import SimpleNamespace

from toolchain.agent.measure.tensorrt.cuda import FIXES

# Codes with a fix of ours, and two without.
cudaError_t = enum.IntEnum(
    "cudaError_t",
    {name: code for code, name in enumerate(["cudaSuccess", *FIXES, "cudaErrorIllegalAddress", "cudaErrorUnknown"])},
)


class Stream:
    def __int__(self):
        return id(self)


class Graph:
    def __init__(self, work):
        self.work = work


def call(returns=0):
    """Make a method a CUDA call: recorded, counted, and failing where it was told to."""

    def decorate(method):
        name = method.__name__

        @functools.wraps(method)
        def wrapped(self, *arguments):
            self.calls.append(name)
            failure = self.failures.pop(len(self.calls) - 1, None)
            if failure is None:
                result = method(self, *arguments)
                return (cudaError_t.cudaSuccess, *(() if not returns else result if returns > 1 else (result,)))
            if name in ("cudaStreamEndCapture", *self.RELEASES):
                method(self, *arguments)  # an error from these may be an earlier call's: the thing is gone all the same
            if name == "cudaStreamEndCapture":
                self.live["graph"].clear()
            return (failure, *([None] * returns))

        return wrapped

    return decorate


class FakeCudart:
    RELEASES = ("cudaFree", "cudaFreeHost", "cudaStreamDestroy", "cudaGraphDestroy", "cudaGraphExecDestroy")

    cudaError_t = cudaError_t
    cudaMemcpyKind = enum.IntEnum("cudaMemcpyKind", {"cudaMemcpyHostToDevice": 1, "cudaMemcpyDeviceToHost": 2})
    cudaStreamCaptureMode = enum.IntEnum("cudaStreamCaptureMode", {"cudaStreamCaptureModeThreadLocal": 1})
    cudaStreamNonBlocking = 1

    def __init__(self, *, memory_bytes=8 << 30, free_bytes=4 << 30):
        self.calls = []
        self.failures = {}
        """Error codes by the number of the call that shall return them."""
        self.live = {"device": {}, "pinned": {}, "stream": {}, "graph": {}, "executable": {}}
        self.capturing = None
        self.memory_bytes = memory_bytes
        self.free_bytes = free_bytes

    def list_leaks(self):
        return {kind: len(things) for kind, things in self.live.items() if things}

    def do(self, work):
        """Do what is enqueued, or keep it for the graph that is being captured."""
        if self.capturing is None:
            work()
        else:
            self.capturing.append(work)

    def _keep(self, kind, thing, key=None):
        self.live[kind][id(thing) if key is None else key] = thing
        return thing

    def cudaGetErrorName(self, error):
        return cudaError_t.cudaSuccess, error.name.encode()

    def cudaGetErrorString(self, error):
        return cudaError_t.cudaSuccess, b"as the test wanted"

    @call()
    def cudaSetDevice(self, device):
        pass

    @call(returns=1)
    def cudaGetDeviceProperties(self, device):
        return SimpleNamespace(name=b"Orin", major=8, minor=7, totalGlobalMem=self.memory_bytes, integrated=1)

    @call(returns=2)
    def cudaMemGetInfo(self):
        return self.free_bytes, self.memory_bytes

    @call(returns=1)
    def cudaDriverGetVersion(self):
        return 12060

    def _allocate(self, kind, size):
        memory = ctypes.create_string_buffer(size)
        self._keep(kind, memory, ctypes.addressof(memory))
        return ctypes.addressof(memory)

    @call(returns=1)
    def cudaMalloc(self, size):
        return self._allocate("device", size)

    @call(returns=1)
    def cudaMallocHost(self, size):
        return self._allocate("pinned", size)

    @call()
    def cudaFree(self, devPtr):
        del self.live["device"][devPtr]

    @call()
    def cudaFreeHost(self, ptr):
        del self.live["pinned"][ptr]

    @call(returns=1)
    def cudaStreamCreateWithFlags(self, flags):
        return self._keep("stream", Stream())

    @call()
    def cudaStreamDestroy(self, stream):
        del self.live["stream"][id(stream)]

    @call()
    def cudaStreamSynchronize(self, stream):
        assert self.capturing is None, "CUDA refuses this while it captures"

    @call()
    def cudaMemcpyAsync(self, dst, src, count, kind, stream):
        to_device = kind == self.cudaMemcpyKind.cudaMemcpyHostToDevice
        source, target = ("pinned", "device") if to_device else ("device", "pinned")
        assert count <= ctypes.sizeof(self.live[source][src])
        assert count <= ctypes.sizeof(self.live[target][dst])
        self.do(lambda: ctypes.memmove(dst, src, count))

    @call()
    def cudaStreamBeginCapture(self, stream, mode):
        self.capturing = []

    @call(returns=1)
    def cudaStreamEndCapture(self, stream):
        graph = Graph(self.capturing)
        self.capturing = None
        return self._keep("graph", graph)

    @call(returns=1)
    def cudaGraphInstantiate(self, graph, flags):
        return self._keep("executable", Graph(graph.work))

    @call()
    def cudaGraphLaunch(self, graphExec, stream):
        for work in graphExec.work:
            work()

    @call()
    def cudaGraphDestroy(self, graph):
        del self.live["graph"][id(graph)]

    @call()
    def cudaGraphExecDestroy(self, graphExec):
        del self.live["executable"][id(graphExec)]
