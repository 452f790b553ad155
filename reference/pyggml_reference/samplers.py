"""llama.cpp's samplers on logits given by the caller."""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml_reference.library import OracleError, library
from pyggml_reference.structures import LogitBias, TokenData, TokenDataArray
from pyggml_reference.tokenizer import ReferenceVocabulary

DEFAULT_BREAKERS = ("\n", ":", '"', "*")
_TOKEN_DATA = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


@dataclass(frozen=True)
class Candidates:
    """What a chain left: token ids in the chain's order, their logits and probabilities, the index chosen or None."""

    ids: npt.NDArray[np.int32]
    logits: npt.NDArray[np.float32]
    p: npt.NDArray[np.float32]
    selected: int | None


class ReferenceChain:
    """A chain of llama.cpp samplers; a context manager, freed on exit or by `close`.

    `samplers` lists (name, keyword arguments); the names are the keys of SAMPLERS, whose functions show the arguments.
    "dry" and "grammar" need `vocabulary`, which must stay open as long as the chain is.
    """

    def __init__(
        self,
        samplers: Sequence[tuple[str, Mapping[str, Any]]],
        n_vocab: int,
        vocabulary: ReferenceVocabulary | None = None,
    ) -> None:
        """Build the chain. Raises OracleError for an unknown sampler or one that llama.cpp refuses."""
        self.n_vocab = n_vocab
        self._chain: int | None = library().llama_sampler_chain_init(library().llama_sampler_chain_default_params())
        try:
            for name, arguments in samplers:
                library().llama_sampler_chain_add(self._chain, self._create(name, arguments, vocabulary))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "ReferenceChain":
        """Give the chain."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free it."""
        self.close()

    def close(self) -> None:
        """Free the chain and its samplers; harmless when done before."""
        if self._chain:
            library().llama_sampler_free(self._chain)
            self._chain = None

    def sample(self, logits: npt.ArrayLike) -> int:
        """Apply the chain to the logits of all tokens (n_vocab,) and give the token chosen; it is not accepted.

        Raises OracleError if no sampler of the chain chooses, such as "dist" or "greedy".
        """
        result = self.candidates(logits)
        if result.selected is None:
            raise OracleError("the chain chose no token: end it with dist, greedy, mirostat or adaptive_p")
        return int(result.ids[result.selected])

    def candidates(self, logits: npt.ArrayLike) -> Candidates:
        """Apply the chain to the logits of all tokens (n_vocab,) and give what is left.

        Probabilities are only meaningful when the chain's last active sampler sets them (top_p, typical, xtc, dist).
        """
        values = np.asarray(logits, np.float32)
        if values.shape != (self.n_vocab,):
            raise OracleError(f"logits must have shape ({self.n_vocab},), found {values.shape}")
        data = np.zeros(self.n_vocab, _TOKEN_DATA)
        data["id"] = np.arange(self.n_vocab)
        data["logit"] = values
        pointer = ctypes.cast(data.ctypes.data, ctypes.POINTER(TokenData))
        array = TokenDataArray(pointer, self.n_vocab, -1, False)
        library().llama_sampler_apply(self._open(), ctypes.byref(array))
        # A sampler may exchange the array for one of its own.
        left = np.frombuffer(ctypes.string_at(array.data, array.size * _TOKEN_DATA.itemsize), _TOKEN_DATA)
        selected = int(array.selected)
        return Candidates(
            left["id"].copy(), left["logit"].copy(), left["p"].copy(), selected if 0 <= selected < len(left) else None
        )

    def accept(self, token: int) -> None:
        """Tell the samplers that this token comes next in the text."""
        library().llama_sampler_accept(self._open(), token)

    def reset(self) -> None:
        """Forget accepted tokens, and start random numbers over from their seeds."""
        library().llama_sampler_reset(self._open())

    def _open(self) -> int:
        if not self._chain:
            raise OracleError("the chain is closed")
        return self._chain

    def _create(self, name: str, arguments: Mapping[str, Any], vocabulary: ReferenceVocabulary | None) -> int:
        if name not in SAMPLERS:
            raise OracleError(f"no sampler is called {name!r}; known: {', '.join(SAMPLERS)}")
        extra: dict[str, Any] = {}
        if name in ("penalties", "mirostat", "logit_bias"):
            extra["n_vocab"] = self.n_vocab
        if name in ("dry", "grammar"):
            if vocabulary is None:
                raise OracleError(f"the sampler {name} needs a vocabulary")
            extra["vocabulary"] = vocabulary
        handle: int | None = SAMPLERS[name](**extra, **arguments)
        if not handle:
            raise OracleError(f"llama.cpp refuses the sampler {name} with {dict(arguments)}")
        return handle


def _penalties(
    n_vocab: int, last_n: int = 64, repeat: float = 1.0, frequency: float = 0.0, presence: float = 0.0
) -> Any:
    return library().llama_sampler_init_penalties(n_vocab, last_n, repeat, frequency, presence)


def _dry(
    vocabulary: ReferenceVocabulary,
    multiplier: float,
    base: float = 1.75,
    allowed_length: int = 2,
    last_n: int = 64,
    breakers: Sequence[str] = DEFAULT_BREAKERS,
) -> Any:
    texts = (ctypes.c_char_p * len(breakers))(*[breaker.encode() for breaker in breakers])
    return library().llama_sampler_init_dry(
        vocabulary.pointer, multiplier, base, allowed_length, last_n, texts, len(breakers)
    )


def _grammar(vocabulary: ReferenceVocabulary, text: str) -> Any:
    return library().llama_sampler_init_grammar(vocabulary.pointer, text.encode(), b"root")


def _top_n_sigma(n: float) -> Any:
    return library().llama_sampler_init_top_n_sigma(n)


def _top_k(k: int) -> Any:
    return library().llama_sampler_init_top_k(k)


def _typical(p: float, min_keep: int = 0) -> Any:
    return library().llama_sampler_init_typical(p, min_keep)


def _top_p(p: float, min_keep: int = 0) -> Any:
    return library().llama_sampler_init_top_p(p, min_keep)


def _min_p(p: float, min_keep: int = 0) -> Any:
    return library().llama_sampler_init_min_p(p, min_keep)


def _xtc(probability: float, threshold: float, seed: int, min_keep: int = 0) -> Any:
    return library().llama_sampler_init_xtc(probability, threshold, min_keep, seed)


def _temp(temperature: float) -> Any:
    return library().llama_sampler_init_temp(temperature)


def _temp_ext(temperature: float, delta: float = 0.0, exponent: float = 1.0) -> Any:
    return library().llama_sampler_init_temp_ext(temperature, delta, exponent)


def _dist(seed: int) -> Any:
    return library().llama_sampler_init_dist(seed)


def _greedy() -> Any:
    return library().llama_sampler_init_greedy()


def _mirostat(n_vocab: int, seed: int, tau: float = 5.0, eta: float = 0.1, m: int = 100) -> Any:
    return library().llama_sampler_init_mirostat(n_vocab, seed, tau, eta, m)


def _mirostat_v2(seed: int, tau: float = 5.0, eta: float = 0.1) -> Any:
    return library().llama_sampler_init_mirostat_v2(seed, tau, eta)


def _logit_bias(n_vocab: int, biases: Mapping[int, float]) -> Any:
    array = (LogitBias * len(biases))(*[LogitBias(token, bias) for token, bias in biases.items()])
    return library().llama_sampler_init_logit_bias(n_vocab, len(biases), array)


def _adaptive_p(target: float, seed: int, decay: float = 0.9) -> Any:
    return library().llama_sampler_init_adaptive_p(target, decay, seed)


SAMPLERS: dict[str, Callable[..., Any]] = {
    "penalties": _penalties,
    "dry": _dry,
    "grammar": _grammar,
    "top_n_sigma": _top_n_sigma,
    "top_k": _top_k,
    "typical": _typical,
    "top_p": _top_p,
    "min_p": _min_p,
    "xtc": _xtc,
    "temp": _temp,
    "temp_ext": _temp_ext,
    "dist": _dist,
    "greedy": _greedy,
    "mirostat": _mirostat,
    "mirostat_v2": _mirostat_v2,
    "logit_bias": _logit_bias,
    "adaptive_p": _adaptive_p,
}
