"""A GPU that is pretended: tensors say that they lie on cuda:0 and compute on the processor.

What it shows: operations that mix devices, generators of the wrong device, where the host waits for the device, what is
still held in the device's memory; numbers are real. What it cannot show: what kernels compute, whether their sums keep
their order, how long they take.

It needs no compiler. Torch's processor build lets Python give a device guard for one device type of one's own; the same
guard is put where CUDA's would stand, which autograd asks for before it runs a backward pass.
"""

import contextlib
import ctypes
import gc
import traceback
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

CUDA = torch.device("cuda", 0)
_CUDA_TYPE, _PRIVATE_TYPE, _N_TYPES = 1, 20, 21  # c10::DeviceType
_LIBRARIES = Path(torch.__file__).parent / "lib"
aten = torch.ops.aten

# Operations whose result the host has to look at before it can go on.
_WAITING = {
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.is_nonzero.default,
}
_CONVOLUTIONS = {aten.convolution.default, aten.convolution_backward.default}
_INDEXING = {aten.index.Tensor, aten.index_put_.default, aten._index_put_impl_.default}


class MixedDevices(RuntimeError):
    """What CUDA calls "Expected all tensors to be on the same device"."""


@dataclass
class Gpu:
    """What happened on the pretended device.

    Attributes:
        waits: by reason and line, how often the host waited.
        copies: to the device that the host did not wait for.
        capacity: bytes; more are refused as CUDA does.
        used: bytes of tensors that are alive.
        peak: most of them at once.
        undeterministic: names of operations that have no deterministic form.
    """

    capacity: int = 1 << 40
    waits: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    used: int = 0
    peak: int = 0
    undeterministic: set[str] = field(default_factory=set)
    _owners: dict[int, int] = field(default_factory=dict)

    def wait(self, reason: str) -> None:
        self.waits[f"{reason} at {_place()}"] += 1

    def take(self, tensor: "OnGpu") -> None:
        """Count the storage of ``tensor`` until the last tensor on it is gone."""
        storage = tensor.inner.untyped_storage()
        address, size = storage.data_ptr(), storage.nbytes()
        if not size:
            return
        if address not in self._owners:
            if self.used + size > self.capacity:
                raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes.")
            self.used += size
            self.peak = max(self.peak, self.used)
        self._owners[address] = self._owners.get(address, 0) + 1
        # The wrapper itself must have no weak reference: torch swaps it when a module moves.
        weakref.finalize(tensor.inner, self._release, address, size).atexit = False

    def _release(self, address: int, size: int) -> None:
        self._owners[address] -= 1
        if not self._owners[address]:
            del self._owners[address]
            self.used -= size


_gpu = Gpu()


class OnGpu(torch.Tensor):
    """A tensor that says it lies on cuda:0; ``inner`` has its numbers."""

    inner: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls: type["OnGpu"], inner: Tensor) -> "OnGpu":
        assert type(inner) is torch.Tensor, type(inner)
        out: OnGpu = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            layout=inner.layout, device=CUDA,
        )  # fmt: skip
        out.inner = inner
        _gpu.take(out)
        return out

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor first")

    __array__ = numpy

    def __repr__(self, **_: Any) -> str:
        return f"OnGpu({self.inner!r})"

    def __tensor_flatten__(self) -> Any:
        return ["inner"], None

    @staticmethod
    def __tensor_unflatten__(inner: Any, *_: Any) -> "OnGpu":
        return OnGpu(inner["inner"])


class _Mode(TorchDispatchMode):
    """Sees what is made on the device from nothing."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    gpu = [tensor for tensor in tensors if isinstance(tensor, OnGpu)]
    asked = kwargs.get("device")
    to_gpu = torch.device(asked).type == "cuda" if asked is not None else bool(gpu)
    if func is aten.copy_.default:
        return _copy(args[0], args[1], is_pinned=False)
    if not gpu and not to_gpu:
        return func(*args, **kwargs)
    if func is aten._to_copy.default:
        _note_copy(args[0], to_gpu=to_gpu, is_asynchronous=bool(kwargs.get("non_blocking")))
        kwargs = {**kwargs, "non_blocking": False}
    elif gpu:
        _check(func, args, [tensor for tensor in tensors if not isinstance(tensor, OnGpu)])
    _check_generator(func, kwargs)
    _check_determinism(func)
    if asked is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    inner_args, inner_kwargs = tree_map_only(OnGpu, lambda tensor: tensor.inner, (args, kwargs))
    out = _convolve(func, inner_args) if func in _CONVOLUTIONS else func(*inner_args, **inner_kwargs)
    if not to_gpu:
        return out
    wrapped = tree_map_only(Tensor, lambda tensor: OnGpu(tensor) if type(tensor) is Tensor else tensor, out)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if gpu else wrapped


def _convolve(func: Any, args: Any) -> Any:
    """As a GPU does: sums in float32, the result in the type of the input. oneDNN's bf16 kernels may be wrong."""
    kind = args[0].dtype
    wide = tree_map_only(Tensor, lambda tensor: tensor.float(), args)
    return tree_map_only(Tensor, lambda tensor: tensor.to(kind), func(*wide))


def _copy(into: Tensor, source: Tensor, *, is_pinned: bool) -> Tensor:
    if isinstance(into, OnGpu) != isinstance(source, OnGpu):
        _note_copy(source, to_gpu=isinstance(into, OnGpu), is_asynchronous=is_pinned)
    inner = [tensor.inner if isinstance(tensor, OnGpu) else tensor for tensor in (into, source)]
    inner[0].copy_(inner[1])
    return into


def _note_copy(source: Tensor, *, to_gpu: bool, is_asynchronous: bool) -> None:
    if isinstance(source, OnGpu) and not to_gpu:
        _gpu.wait("copy to the host")
    if not isinstance(source, OnGpu) and to_gpu:
        if is_asynchronous and getattr(source, "is_pretended_pinned", False):
            _gpu.copies[_place()] += 1
        else:
            _gpu.wait("pageable copy to the device")


def _check(func: Any, args: Any, cpu: list[Tensor]) -> None:
    if func in _WAITING:
        _gpu.wait(str(func))
    if func in _INDEXING:
        if not isinstance(args[0], OnGpu):
            raise MixedDevices(f"{func}: indices on the device for a tensor on the processor, at {_place()}")
        indices = [index for index in args[1] if index is not None]
        if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
            _gpu.wait("boolean index")
        if any(not isinstance(index, OnGpu) for index in indices):
            _gpu.wait("index on the processor")
        cpu = [tensor for tensor in cpu if not any(tensor is index for index in indices)]
    if any(tensor.dim() > 0 for tensor in cpu):
        raise MixedDevices(f"{func}: expected all tensors to be on the same device, at {_place()}")


def _check_generator(func: Any, kwargs: dict[str, Any]) -> None:
    generator = kwargs.get("generator")
    if generator is not None and generator.device.type == "cpu":
        raise MixedDevices(f"{func}: expected a 'cuda' device type for generator but found 'cpu', at {_place()}")


def _check_determinism(func: Any) -> None:
    name = str(func)
    if name in _gpu.undeterministic and torch.are_deterministic_algorithms_enabled():
        text = f"{name} does not have a deterministic implementation, but you set use_deterministic_algorithms(True)"
        if not torch.is_deterministic_algorithms_warn_only_enabled():
            raise RuntimeError(text)


def _place() -> str:
    """Our line that asked for it, else torch's."""
    frames = [frame for frame in traceback.extract_stack() if "/ablate/" in frame.filename]
    frame = next((f for f in reversed(frames) if "/tests/" not in f.filename), None)
    return "torch or a test" if frame is None else f"{Path(frame.filename).name}:{frame.lineno}"


class _CudaGuard(torch._C._acc.DeviceGuard):
    def type_(self) -> Any:
        return torch._C._autograd.DeviceType.CUDA


_guard = _CudaGuard()


class _Hooks:
    """Torch's own questions about CUDA ("is there any?"), answered with yes while the device is pretended.

    The object that answers them is there in every build; its table of virtual functions is exchanged for a copy in
    which some entries are ours. The numbers of the entries are counted from torch 2.13's AcceleratorHooksInterface.h
    and CUDAHooksInterface.h, two of destruction first.
    """

    IS_BUILT, IS_AVAILABLE, HAS_PRIMARY_CONTEXT, INIT, DEVICE_COUNT, CURRENT_DEVICE, HAS_CUDA = 2, 3, 4, 5, 6, 8, 16
    N_COPIED, N_BEFORE = 60, 2  # entries, and words of run-time type information before them

    def __init__(self) -> None:
        get = ctypes.CDLL(str(_LIBRARIES / "libtorch_cpu.so"))._ZN2at6detail12getCUDAHooksEv
        get.restype = ctypes.c_void_p
        self._table = ctypes.c_void_p.from_address(get())
        self._before = self._table.value
        assert self._before is not None
        word = ctypes.sizeof(ctypes.c_void_p)
        size = self.N_COPIED + self.N_BEFORE
        self._copy = (ctypes.c_void_p * size).from_buffer_copy(
            ctypes.string_at(self._before - self.N_BEFORE * word, size * word)
        )
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
        self._yes, self._zero = kind(lambda _: 1), kind(lambda _: 0)
        for entry in (self.IS_BUILT, self.IS_AVAILABLE, self.HAS_PRIMARY_CONTEXT, self.DEVICE_COUNT, self.HAS_CUDA):
            self._copy[entry + self.N_BEFORE] = ctypes.cast(self._yes, ctypes.c_void_p).value
        for entry in (self.INIT, self.CURRENT_DEVICE):
            self._copy[entry + self.N_BEFORE] = ctypes.cast(self._zero, ctypes.c_void_p).value
        self._ours = ctypes.addressof(self._copy) + self.N_BEFORE * word

    @contextlib.contextmanager
    def say_yes(self) -> Iterator[None]:
        self._table.value = self._ours
        try:
            yield
        finally:
            self._table.value = self._before


def install_guard() -> None:
    """Give torch a guard for CUDA; before the first backward pass of the process, which counts the devices."""
    torch._C._acc.register_python_privateuseone_device_guard(_guard)
    library = ctypes.CDLL(str(_LIBRARIES / "libc10.so"))
    registry = (ctypes.c_void_p * _N_TYPES).in_dll(library, "_ZN3c104impl26device_guard_impl_registryE")
    registry[_CUDA_TYPE], registry[_PRIVATE_TYPE] = registry[_PRIVATE_TYPE], None


def _pinned(tensor: Tensor, *_: Any, **__: Any) -> Tensor:
    out = tensor.clone()
    out.is_pretended_pinned = True  # type: ignore[attr-defined]
    return out


@contextlib.contextmanager
def pretended_gpu(*, capacity: int = 1 << 40, name: str = "Pretended GPU") -> Iterator[Gpu]:
    """Within it torch says that there is one CUDA device."""
    global _gpu  # noqa: PLW0603
    gc.collect()
    _gpu = gpu = Gpu(capacity=capacity)
    state = torch.Generator()
    answers: dict[str, Any] = {
        "device_count": lambda: 1,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "synchronize": lambda *_: None,
        "_lazy_init": lambda: None,
        "current_device": lambda: 0,
        "empty_cache": lambda: None,
        "get_rng_state": lambda *_: state.get_state(),
        "set_rng_state": lambda new, *_: state.set_state(new),
        "mem_get_info": lambda *_: (gpu.capacity - gpu.used, gpu.capacity),
        "reset_peak_memory_stats": lambda *_: None,
        "max_memory_allocated": lambda *_: gpu.peak,
        "get_device_name": lambda *_: name,
        "is_bf16_supported": lambda *_, **__: True,
        "amp.common.amp_definitely_not_available": lambda: False,
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(_Hooks().say_yes())
        for function, answer in answers.items():
            stack.enter_context(mock.patch(f"torch.cuda.{function}", answer))
        stack.enter_context(mock.patch.object(torch.Tensor, "pin_memory", _pinned))
        stack.enter_context(mock.patch("torch.inference_mode", torch.no_grad))  # wrappers are no inference tensors
        stack.enter_context(_Mode())
        yield gpu
