"""Which GPUs take layers: those that are named, or all; and how they share the layers."""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass

from pyggml.errors import UsageError

#: What `split_mode` may be: each GPU has some of the layers, or one has all of them.
LAYER, NONE = "layer", "none"
#: What main memory and its cores are called beside the names of GPUs.
CPU = "CPU"


@dataclass(frozen=True)
class DeviceOptions:
    """What is asked of the GPUs, as llama.cpp's options say it."""

    devices: tuple[str, ...] | None = None
    """The GPUs to use, in this order, such as CUDA0; `none` alone for none of them, None for all."""
    main_gpu: int = 0
    """With the split mode `none`, which of these has all layers."""
    split_mode: str = LAYER
    tensor_split: tuple[float, ...] = ()
    """How many layers each GPU gets, in proportion; a GPU without a number gets none, all do by their free memory if
    there is no number above 0."""

    override_tensor: tuple[tuple[str, str], ...] = ()
    """Regular expressions, and the device where all tensors lie in whose names one is found; the first one decides."""
    kv_offload: bool = True
    """Whether keys and values lie on their layer's GPU; otherwise in main memory."""

    def __post_init__(self) -> None:
        """Refuse what means nothing. Raises UsageError."""
        if self.split_mode not in (LAYER, NONE):
            raise UsageError(
                f"split_mode is {self.split_mode!r}; allowed are {LAYER!r}, each GPU has some of the layers, and"
                f" {NONE!r}, one GPU has all of them; matrices are not split"
            )
        if bad := [share for share in self.tensor_split if not 0 <= share < float("inf")]:
            raise UsageError(f"tensor_split holds {bad[0]}; allowed are numbers from 0, such as 3,1")
        if self.main_gpu < 0:
            raise UsageError(f"main_gpu is {self.main_gpu}; allowed are 0 and up")

    @classmethod
    def of(
        cls,
        devices: Iterable[str] | None,
        main_gpu: int,
        split_mode: str,
        tensor_split: Iterable[float],
        override_tensor: Iterable[tuple[str, str]],
        *,
        kv_offload: bool,
    ) -> "DeviceOptions":
        """The same from any collections. Raises UsageError."""
        names = None if devices is None else tuple(devices)
        return cls(names, main_gpu, split_mode, tuple(tensor_split), tuple(override_tensor), kv_offload)

    @property
    def shares(self) -> tuple[float, ...]:
        """Those of the GPUs that share the layers."""
        return self.tensor_split if self.split_mode == LAYER else ()

    @property
    def uses_none(self) -> bool:
        """Whether no GPU is to be used."""
        return self.devices == ("none",)


def name(number: int) -> str:
    """What a GPU is called in options and messages."""
    return f"CUDA{number}"


def usable() -> dict[str, int]:
    """The numbers of the GPUs that can be used, by name; there has to be a driver."""
    return {name(number): number for number in importlib.import_module("pyggml_cuda.device").usable()}


def choose(options: DeviceOptions) -> tuple[int, ...]:
    """The GPUs that layers may be placed on, by their numbers; there has to be one. UsageError for others."""
    numbers = usable()
    wanted = list(numbers) if options.devices is None else options.devices
    for device in wanted:
        if device not in numbers:
            raise UsageError(f"device is {device!r}; allowed are {', '.join(numbers)}, and 'none' alone")
    if len(set(wanted)) < len(wanted) or not wanted:
        raise UsageError(f"device is {','.join(wanted)!r}; each GPU is named once, and one at least")
    if options.split_mode == NONE:
        if options.main_gpu >= len(wanted):
            raise UsageError(f"main_gpu is {options.main_gpu}; allowed are 0 to {len(wanted) - 1}: {', '.join(wanted)}")
        wanted = [wanted[options.main_gpu]]
    elif len(options.tensor_split) > len(wanted):
        raise UsageError(
            f"tensor_split has {len(options.tensor_split)} shares, for {len(wanted)} GPUs: {', '.join(wanted)}"
        )
    return tuple(numbers[device] for device in wanted)
