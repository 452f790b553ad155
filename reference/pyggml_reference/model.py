"""llama.cpp's inference of a GGUF file on the CPU: logits, greedy text and the tensors inside its graph."""

import ctypes
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pyggml_reference.library import OracleError, library, listen, log
from pyggml_reference.loading import open_model
from pyggml_reference.structures import EVAL_CALLBACK, Batch, ContextParams, Tensor, TensorType

FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}
ROPE_SCALING = {"none": 0, "linear": 1, "yarn": 2}
_ELEMENTS = {TensorType.F32: np.float32, TensorType.F16: np.float16, TensorType.I32: np.int32, TensorType.I64: np.int64}


@dataclass(frozen=True)
class RopeOverrides:
    """Context parameters of rotary positions; the defaults leave everything to the file."""

    scaling: Literal["none", "linear", "yarn"] | None = None
    freq_base: float = 0.0
    freq_scale: float = 0.0
    ext_factor: float = -1.0
    attn_factor: float = -1.0
    beta_fast: float = -1.0
    beta_slow: float = -1.0
    n_ctx_original: int = 0


class ReferenceModel:
    """A model with one context for one sequence; a context manager, freed on exit or by `close`."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        n_ctx: int = 512,
        n_batch: int = 2048,
        n_ubatch: int = 512,
        type_k: int = TensorType.F16,
        type_v: int = TensorType.F16,
        flash_attn: Literal["auto", "on", "off"] = "auto",
        n_threads: int = 1,
        rope: RopeOverrides | None = None,
        repack: bool = True,
    ) -> None:
        """Load the file and make a context of `n_ctx` tokens (llama.cpp rounds up to a multiple of 256).

        `repack` lets llama.cpp interleave weights of some formats for its faster kernels, which changes the order of
        sums; it is llama.cpp's default. Flash attention reads an F32 cache as F16, so the float32 numbers proper need
        F32 caches and `flash_attn="off"`; "auto" turns it on. Raises OracleError, with llama.cpp's own words, if either
        step fails.
        """
        self._context: int | None = None
        self._model: int | None = open_model(path, vocab_only=False, repack=repack)
        parameters: ContextParams = library().llama_context_default_params()
        parameters.n_ctx = n_ctx
        parameters.n_batch = n_batch
        parameters.n_ubatch = n_ubatch
        parameters.n_threads = parameters.n_threads_batch = n_threads
        parameters.type_k = TensorType(type_k)
        parameters.type_v = TensorType(type_v)
        parameters.flash_attn_type = FLASH_ATTENTION[flash_attn]
        _set_rope(parameters, rope or RopeOverrides())
        self._parameters = parameters
        try:
            self._context = self._new_context()
        except OracleError:
            self.close()
            raise
        self.n_vocab = int(library().llama_vocab_n_tokens(library().llama_model_get_vocab(self._model)))
        self.n_layers = int(library().llama_model_n_layer(self._model))
        self.n_embd = int(library().llama_model_n_embd(self._model))
        self.n_ctx = int(library().llama_n_ctx(self._context))

    def __enter__(self) -> "ReferenceModel":
        """Give the loaded model."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free it."""
        self.close()

    def close(self) -> None:
        """Free context and model; harmless when done before."""
        if self._context:
            library().llama_free(self._context)
            self._context = None
        if self._model:
            library().llama_model_free(self._model)
            self._model = None

    def logits(self, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
        """Compute the logits at every position of a text, from an empty cache. Shape (n, n_vocab)."""
        self._start(len(tokens))
        return np.concatenate(list(self._batches(self._context, tokens)))

    def greedy(self, tokens: Sequence[int], n: int, stop_at_end: bool = False) -> list[int]:
        """Continue a text by the `n` most probable tokens, decoded one at a time; the lowest id wins a tie.

        With `stop_at_end`, stop before the first token that ends a generation.
        """
        self._start(len(tokens) + n)
        vocabulary = library().llama_model_get_vocab(self._model)
        generated: list[int] = []
        pending = list(tokens)
        position = 0
        while len(generated) < n:
            *_, block = self._batches(self._context, pending, position, every=False)
            position += len(pending)
            token = int(np.argmax(block[-1]))
            if stop_at_end and library().llama_vocab_is_eog(vocabulary, token):
                break
            generated.append(token)
            pending = [token]
        return generated

    @property
    def handles(self) -> tuple[int, int]:
        """The addresses of llama.cpp's model and context, for functions that take them."""
        if not self._model or not self._context:
            raise OracleError("the model was closed")
        return self._model, self._context

    def extend(self, tokens: Sequence[int], start: int) -> npt.NDArray[np.float32]:
        """Forget the positions from `start` on, read tokens there, and give the logits (n_vocab,) after the last one.

        No other logits are computed. Raises OracleError for tokens that do not fit the context.
        """
        if not self._context or start + len(tokens) > self.n_ctx:
            raise OracleError(f"{len(tokens)} tokens at {start} do not fit the context of {self.n_ctx}")
        library().llama_memory_seq_rm(library().llama_get_memory(self._context), 0, start, -1)
        *_, block = self._batches(self._context, tokens, start, every=False)
        return block.reshape(self.n_vocab)

    def intermediate(self, tokens: Sequence[int], names: Collection[str]) -> dict[str, npt.NDArray[Any]]:
        """Collect tensors of the graph by name, such as "l_out-3", "Qcur-0" or "result_norm", for one micro-batch.

        Axes are the reverse of ggml's, so rows of tokens come first: (n, n_embd) for "l_out-3", (n, n_head, size) for
        "Qcur-0". When a name occurs more than once in the graph (as "Qcur-0" does: product, bias, rope), the last one
        counts. Raises OracleError for more tokens than `n_ubatch`, and for a name that does not occur.
        """
        collected: dict[str, npt.NDArray[Any]] = {}

        def observe(name: str, tensor: Tensor, address: int) -> None:
            collected[name] = _to_array(tensor, address)

        self._observe(tokens, observe, names)
        missing = sorted(set(names) - collected.keys())
        if missing:
            raise OracleError(f"no tensor in the graph is called {', '.join(missing)}: see tensor_names()")
        return collected

    def tensor_names(self, tokens: Sequence[int]) -> list[str]:
        """List the names of all tensors in the graph for these tokens, in order of computation."""
        found: list[str] = []
        self._observe(tokens, lambda name, _tensor, _address: found.append(name), None)
        return found

    def hidden_states(self, tokens: Sequence[int], layer: int) -> npt.NDArray[np.float32]:
        """Give the residual stream after a layer, counted from 0. Shape (n, n_embd)."""
        name = f"l_out-{layer}"
        return np.asarray(self.intermediate(tokens, [name])[name], np.float32)

    def _observe(self, tokens: Sequence[int], observe: Any, names: Collection[str] | None) -> None:
        self._start(len(tokens))
        if len(tokens) > self._parameters.n_ubatch:
            raise OracleError(f"{len(tokens)} tokens do not fit one micro-batch of {self._parameters.n_ubatch}")
        failures: list[Exception] = []

        def evaluate(address: int, ask: bool, _user_data: int) -> bool:
            # An exception must not cross C code: keep it, end the graph, raise it afterwards.
            try:
                tensor = Tensor.from_address(address)
                name = tensor.name.decode()
                wanted = names is None or name in names
                if wanted and not ask:
                    observe(name, tensor, address)
            except Exception as failure:  # noqa: BLE001 - re-raised by the caller
                failures.append(failure)
                return False
            return wanted or not ask

        with self._observed_context(EVAL_CALLBACK(evaluate)) as context:
            list(self._batches(context, tokens))
        if failures:
            raise failures[0]

    @contextmanager
    def _observed_context(self, callback: Any) -> Iterator[int]:
        self._parameters.cb_eval = callback
        try:
            context = self._new_context()
        finally:
            self._parameters.cb_eval = EVAL_CALLBACK()
        try:
            yield context
        finally:
            library().llama_free(context)

    def _new_context(self) -> int:
        listen()
        context: int | None = library().llama_init_from_model(self._model, self._parameters)
        if not context:
            raise OracleError(f"llama.cpp cannot make a context: {log().text()}")
        return context

    def _start(self, n_tokens: int) -> None:
        if not self._context:
            raise OracleError("the model is closed")
        if n_tokens > self.n_ctx:
            raise OracleError(f"{n_tokens} tokens do not fit the context of {self.n_ctx}")
        library().llama_memory_clear(library().llama_get_memory(self._context), True)

    def _batches(
        self, context: int | None, tokens: Sequence[int], start: int = 0, every: bool = True
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Decode tokens batch by batch; give the logits at every position of each, or at its last alone."""
        outside = [token for token in tokens if not 0 <= token < self.n_vocab]
        if outside or not tokens:
            raise OracleError(f"tokens must be in [0, {self.n_vocab}) and at least one, found {outside or 'none'}")
        for first in range(0, len(tokens), self._parameters.n_batch):
            yield self._decode(context, tokens[first : first + self._parameters.n_batch], start + first, every)

    def _decode(self, context: int | None, tokens: Sequence[int], start: int, every: bool) -> npt.NDArray[np.float32]:
        n = len(tokens)
        wanted = [1] * n if every else [0] * (n - 1) + [1]
        sequence = ctypes.c_int32(0)
        batch = Batch(
            n_tokens=n,
            token=(ctypes.c_int32 * n)(*tokens),
            pos=(ctypes.c_int32 * n)(*range(start, start + n)),
            n_seq_id=(ctypes.c_int32 * n)(*[1] * n),
            seq_id=(ctypes.POINTER(ctypes.c_int32) * n)(*[ctypes.pointer(sequence)] * n),
            logits=(ctypes.c_int8 * n)(*wanted),
        )
        listen()
        status = library().llama_decode(context, batch)
        if status:
            raise OracleError(f"llama_decode failed with status {status}: {log().text()}")
        return np.ctypeslib.as_array(library().llama_get_logits(context), (sum(wanted), self.n_vocab)).copy()


def _set_rope(parameters: ContextParams, rope: RopeOverrides) -> None:
    if rope.scaling is not None:
        parameters.rope_scaling_type = ROPE_SCALING[rope.scaling]
    parameters.rope_freq_base = rope.freq_base
    parameters.rope_freq_scale = rope.freq_scale
    parameters.yarn_ext_factor = rope.ext_factor
    parameters.yarn_attn_factor = rope.attn_factor
    parameters.yarn_beta_fast = rope.beta_fast
    parameters.yarn_beta_slow = rope.beta_slow
    parameters.yarn_orig_ctx = rope.n_ctx_original


def _to_array(tensor: Tensor, address: int) -> npt.NDArray[Any]:
    """Copy a tensor out of its backend, views and permutations included, without its leading axes of length 1."""
    element = _ELEMENTS.get(TensorType(tensor.type))
    if element is None:
        raise OracleError(f"tensor {tensor.name.decode()} is {TensorType(tensor.type).name}, which has no NumPy type")
    raw = np.empty(library().ggml_nbytes(address), np.uint8)
    library().ggml_backend_tensor_get(address, raw.ctypes.data, 0, raw.size)
    shape, strides = tuple(reversed(tensor.ne)), tuple(reversed(tensor.nb))
    array = np.lib.stride_tricks.as_strided(raw.view(element), shape, strides).copy()
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    return array
