"""What is measured: every combination of the values that were given for each parameter."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from pyggml.gpus import LAYER
from pyggml_kernels.threads import available_cores

#: llama-bench's numbers for flash attention.
FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}


@dataclass(frozen=True)
class BenchSetup:
    """How a model is loaded; `n_gpu_layers` -1: as many as fit; devices as `DeviceOptions` has them."""

    model: Path
    n_gpu_layers: int
    n_batch: int
    n_ubatch: int
    type_k: str
    type_v: str
    flash_attn: int
    n_threads: int
    split_mode: str = LAYER
    main_gpu: int = 0
    devices: tuple[str, ...] | None = None
    tensor_split: tuple[float, ...] = ()
    tensor_buft_overrides: tuple[tuple[str, str], ...] = ()
    no_kv_offload: int = 0


@dataclass(frozen=True)
class BenchCase:
    """One test: `n_prompt` tokens read at once, then `n_gen` one at a time, after `n_depth` in the cache."""

    setup: BenchSetup
    n_prompt: int
    n_gen: int
    n_depth: int

    @property
    def n_tokens(self) -> int:
        """Tokens that count."""
        return self.n_prompt + self.n_gen

    @property
    def name(self) -> str:
        """As llama-bench writes it: `pp512`, `tg128`, `pp512+tg128`, with ` @ d4096` behind it for a depth."""
        parts = [f"{name}{n}" for name, n in (("pp", self.n_prompt), ("tg", self.n_gen)) if n]
        return "+".join(parts) + (f" @ d{self.n_depth}" if self.n_depth else "")


@dataclass(frozen=True)
class BenchGrid:
    """The values of each parameter, llama-bench's by default; a test of no tokens is none."""

    models: tuple[Path, ...]
    n_prompt: tuple[int, ...] = (512,)
    n_gen: tuple[int, ...] = (128,)
    n_prompt_gen: tuple[tuple[int, int], ...] = ()
    n_depth: tuple[int, ...] = (0,)
    n_gpu_layers: tuple[int, ...] = (-1,)
    n_batch: tuple[int, ...] = (2048,)
    n_ubatch: tuple[int, ...] = (512,)
    type_k: tuple[str, ...] = ("f16",)
    type_v: tuple[str, ...] = ("f16",)
    flash_attn: tuple[int, ...] = (FLASH_ATTENTION["auto"],)
    n_threads: tuple[int, ...] = field(default_factory=lambda: (available_cores(),))
    split_mode: tuple[str, ...] = (LAYER,)
    main_gpu: tuple[int, ...] = (0,)
    devices: tuple[tuple[str, ...] | None, ...] = (None,)
    tensor_split: tuple[tuple[float, ...], ...] = ((),)
    tensor_buft_overrides: tuple[tuple[tuple[str, str], ...], ...] = ((),)
    no_kv_offload: tuple[int, ...] = (0,)

    def setups(self) -> Iterator[BenchSetup]:
        """All ways of loading, in llama-bench's order."""
        names = (
            *("n_gpu_layers", "split_mode", "main_gpu", "devices", "tensor_split", "tensor_buft_overrides"),
            *("n_batch", "n_ubatch", "type_k", "type_v", "no_kv_offload", "flash_attn", "n_threads"),
        )
        for model, *values in product(self.models, *(getattr(self, name) for name in names)):
            yield BenchSetup(model, **dict(zip(names, values, strict=True)))

    def cases(self) -> Iterator[BenchCase]:
        """All tests, in llama-bench's order: those of one setup follow each other, shallow ones first."""
        prompts, generations = ((n, 0) for n in self.n_prompt), ((0, n) for n in self.n_gen)
        tests = [test for test in (*prompts, *generations, *self.n_prompt_gen) if any(test)]
        for setup, n_depth, (n_prompt, n_gen) in product(self.setups(), self.n_depth, tests):
            yield BenchCase(setup, n_prompt, n_gen, n_depth)
