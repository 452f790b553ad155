"""DRY, "don't repeat yourself": penalties that grow with the length of a repetition."""

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

from pyggml.sampling.candidates import Candidates
from pyggml.sampling.float32_math import log
from pyggml.sampling.vocabulary import Vocabulary

MAX_BREAKER_BYTES = 40
MAX_TAIL_TOKENS = 20
_LOG_OF_LARGEST_FLOAT = np.float32(88.7228391)

Breakers = Mapping[int, Sequence[tuple[int, ...]]]


class Dry:
    """Lower each token that would extend a sequence already in the last `last_n` tokens.

    A repetition of n tokens costs multiplier * base^(n - allowed_length) if n reaches allowed_length; sequences end at
    breakers, and tokens that are breakers themselves are never lowered. p-e-w 2024,
    https://github.com/oobabooga/text-generation-webui/pull/5677.
    """

    def __init__(self, multiplier: float, base: float, allowed_length: int, last_n: int, breakers: Breakers) -> None:
        """Start with no text. `breakers` come from `sequence_breakers`."""
        self.description = f"dry {multiplier:g} * {base:g}^(n - {allowed_length}) over {last_n} tokens"
        self._multiplier, self._base = float(np.float32(multiplier)), float(np.float32(base))
        self._only_lowers = multiplier >= 0
        self._allowed_length = allowed_length
        self._breakers = breakers
        self._recent: deque[int] = deque(maxlen=last_n)
        self._largest_exponent = _largest_exponent(base)

    @property
    def n_lowered(self) -> int | None:
        """How many logits it lowers now at most; None if it raises them."""
        return len(self._recent) if self._only_lowers else None

    def apply(self, candidates: Candidates) -> Candidates:
        """Lower the logits of tokens that would go on with a repetition."""
        if len(self._recent) <= self._allowed_length:
            return candidates
        newest_first = list(self._recent)[::-1]
        limit = _length_since_breaker(newest_first, self._breakers)
        if limit < self._allowed_length:
            return candidates
        lengths = self._repetitions(newest_first, limit)
        tokens = np.array([token for token in lengths if () not in self._breakers.get(token, ())], np.int32)
        if not len(tokens):
            return candidates.with_logits(candidates.logits, is_sorted=False)
        penalties = np.array([self._penalty(lengths[token]) for token in tokens.tolist()], np.float32)
        positions, present = candidates.positions_of(tokens)
        logits = candidates.logits.copy()
        logits[positions] -= penalties[present]
        return candidates.with_logits(logits, is_sorted=False)

    def _repetitions(self, newest_first: list[int], limit: int) -> dict[int, int]:
        """Map each token that followed an earlier copy of the text's end to the length of the longest such copy."""
        longest: dict[int, int] = {}
        for distance, length in enumerate(_suffix_matches(newest_first, limit)):
            if distance and length >= self._allowed_length:
                token = newest_first[distance - 1]
                longest[token] = max(length, longest.get(token, length))
        return longest

    def _penalty(self, length: int) -> float:
        exponent = length - self._allowed_length
        if 0 < self._largest_exponent < exponent:
            exponent = self._largest_exponent
        return float(self._multiplier * np.power(self._base, float(exponent)))

    def accept(self, token: int) -> None:
        """Add a token to the text."""
        self._recent.append(token)

    def reset(self, seed: int) -> None:
        """Forget the text."""
        self._recent.clear()


def _largest_exponent(base: float) -> int:
    """Give the exponent at which base^exponent nears the largest float; 0, no bound, for a base of 1."""
    single = np.float32(base)
    if single <= np.float32(1.000001):
        return 0
    return int(_LOG_OF_LARGEST_FLOAT / log(np.array([single]))[0])


def _length_since_breaker(newest_first: list[int], breakers: Breakers) -> int:
    """Count the tokens after the last breaker; the whole text if there is none."""
    for distance, token in enumerate(newest_first):
        matching = [
            len(tail)
            for tail in breakers.get(token, ())
            if len(tail) <= distance and list(tail) == newest_first[distance - len(tail) : distance][::-1]
        ]
        if matching:
            return distance - max(matching)
    return len(newest_first)


def _suffix_matches(newest_first: list[int], limit: int) -> list[int]:
    """For each distance from the end, count the tokens there that match the end, at most `limit` (the Z-algorithm).

    The first entry is 0, not the length of the text. The bound also acts inside the algorithm, as in llama.cpp.
    """
    n = len(newest_first)
    matches = [0] * n
    left = right = 0
    for k in range(1, n):
        if k <= right and matches[k - left] < right - k + 1:
            matches[k] = matches[k - left]
            continue
        end = max(k, right + 1)
        while end < n and newest_first[end - k] == newest_first[end]:
            end += 1
        matches[k] = min(end - k, limit)
        if end > k:
            left, right = k, end - 1
    return matches


def sequence_breakers(vocabulary: Vocabulary, breakers: Sequence[str]) -> dict[int, list[tuple[int, ...]]]:
    """Map tokens in which a breaker is or begins to what must follow: the tokens of the rest of the breaker.

    A token that holds the whole breaker maps to the empty tuple. Breakers are cut to 40 bytes, rests to 20 tokens;
    empty breakers are skipped.
    """
    pieces = [vocabulary.detokenize_bytes((token,), render_special=True) for token in range(vocabulary.n_tokens)]
    result: dict[int, list[tuple[int, ...]]] = {}
    for breaker in breakers:
        data = breaker.encode("utf-8", "surrogateescape")[:MAX_BREAKER_BYTES]
        for token, piece in enumerate(pieces):
            if data and data[:1] in piece:
                for tail in _tails(vocabulary, piece, data):
                    if tail not in result.setdefault(token, []):
                        result[token].append(tail)
    return result


def _tails(vocabulary: Vocabulary, piece: bytes, breaker: bytes) -> list[tuple[int, ...]]:
    if breaker in piece:
        return [()]
    overlaps = range(1, min(len(piece), len(breaker) - 1) + 1)
    rests = [breaker[n:] for n in overlaps if piece.endswith(breaker[:n])]
    return [
        tuple(vocabulary.tokenize(rest, add_special=False, parse_special=False)[:MAX_TAIL_TOKENS]) for rest in rests
    ]
