"""Merging neighbouring symbols of a word, the best pair first, until no pair can be merged."""

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise


class MergeTable:
    """Which pairs of symbols may be merged, and in which order: the lower rank first, then the pair further left.

    The rank of a pair is found under its two texts joined by a separator. In byte-pair encoding (Sennrich et al. 2016,
    "Neural Machine Translation of Rare Words with Subword Units") that is the rule itself, "a b"; in SentencePiece
    vocabularies the score of the merged piece decides, whatever its parts, and the separator is empty.
    """

    def __init__(self, ranks: Mapping[str, float], separator: str) -> None:
        """Keep the ranks; no symbol of a word may contain the separator, unless that is empty."""
        self._rank = ranks.get
        self._separator = separator

    def merge(self, word: Iterable[str]) -> list[str]:
        """The symbols that are left when the symbols of a word have been merged. Time grows with n log n."""
        rank, separator = self._rank, self._separator
        symbols = list(word)  # a merged symbol stands at the place of its left part; its right part is left empty
        n_symbols = len(symbols)
        next_places = list(range(1, n_symbols + 1))
        previous_places = list(range(-1, n_symbols - 1))
        queue = [
            (found, place, left + right)
            for place, (left, right) in enumerate(pairwise(symbols))
            if (found := rank(left + separator + right)) is not None
        ]
        heapify(queue)
        while queue:
            _, place, merged = heappop(queue)
            right = next_places[place]
            # Parts only grow, or vanish into their left neighbours: out of date is a pair whose lengths do not add up.
            if not symbols[place] or right == n_symbols or len(symbols[place] + symbols[right]) != len(merged):
                continue
            symbols[place], symbols[right] = merged, ""
            following = next_places[place] = next_places[right]
            if following < n_symbols:
                previous_places[following] = place
                found = rank(merged + separator + symbols[following])
                if found is not None:
                    heappush(queue, (found, place, merged + symbols[following]))
            previous = previous_places[place]
            if previous >= 0:
                found = rank(symbols[previous] + separator + merged)
                if found is not None:
                    heappush(queue, (found, previous, symbols[previous] + merged))
        return [symbol for symbol in symbols if symbol]
