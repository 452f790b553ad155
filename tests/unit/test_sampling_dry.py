import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.sampling import Sampler, SamplingOptions
from pyggml.sampling.candidates import Candidates
from pyggml.sampling.dry import Breakers, Dry, sequence_breakers
from tests.fake_vocabulary import FakeVocabulary

HISTORY = st.lists(st.integers(0, 3), max_size=60)


def penalties(dry: Dry, history: list[int], n_tokens: int = 8) -> list[float]:
    for token in history:
        dry.accept(token)
    candidates = Candidates(np.arange(n_tokens, dtype=np.int32), np.zeros(n_tokens, np.float32))
    return [-float(logit) for logit in dry.apply(candidates).logits]


def repetition_lengths(history: list[int], limit: int) -> dict[int, int]:
    """For each token, how long a copy of the end of the text it once followed; the longest, at most `limit`."""
    longest: dict[int, int] = {}
    for end in range(1, len(history)):
        length = 0
        while length < end and history[end - 1 - length] == history[-1 - length]:
            length += 1
        token = history[end]
        longest[token] = max(longest.get(token, 0), min(length, limit))
    return longest


@settings(max_examples=300, deadline=None)
@given(HISTORY, st.integers(1, 5), st.integers(1, 70))
def test_penalties_grow_with_the_repetition(history: list[int], allowed_length: int, last_n: int) -> None:
    expected = [0.0] * 8
    seen = history[-last_n:]
    for token, length in repetition_lengths(seen, len(seen)).items():
        if length >= allowed_length and len(seen) > allowed_length:
            expected[token] = 0.5 * 1.5 ** (length - allowed_length)
    assert penalties(Dry(0.5, 1.5, allowed_length, last_n, {}), history) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=300, deadline=None)
@given(HISTORY)
def test_a_breaker_ends_the_sequence_and_is_never_lowered(history: list[int]) -> None:
    found = penalties(Dry(1.0, 2.0, 1, 64, {3: [()]}), history)
    assert found[3] == 0
    since = history[::-1].index(3) if 3 in history else len(history)
    assert max(found) <= 2.0 ** max(since - 1, 0)
    assert since or not any(found)


@pytest.mark.parametrize(
    ("breakers", "expected"),
    [
        ({}, 2.0**5),  # 0 1 2 3 0 1 is repeated
        ({2: [()]}, 2.0**2),  # only 3 0 1 after the last 2
        ({2: [(3,)]}, 2.0**1),  # only 0 1 after the last 2 3
        ({2: [(3,), (3, 0)]}, 2.0**0),  # the longest breaker counts
        ({2: [(1,)]}, 2.0**5),  # does not occur
    ],
)
def test_breakers_of_several_tokens(breakers: Breakers, expected: float) -> None:
    history = [0, 1, 2, 3, 0, 1, 5, 4, 0, 1, 2, 3, 0, 1]
    assert penalties(Dry(1.0, 2.0, 1, 64, breakers), history)[5] == expected


def test_the_exponent_is_bounded() -> None:
    found = penalties(Dry(1.0, 1.75, 1, 1024, {}), [1] * 1000)
    assert found[1] == pytest.approx(1.75**158)  # 88.7228 / log(1.75) = 158.5
    assert np.isfinite(found).all()


def test_a_base_of_one_is_a_constant_penalty() -> None:
    assert penalties(Dry(0.5, 1.0, 1, 1024, {}), [1] * 1000)[1] == 0.5


def test_short_texts_and_resets() -> None:
    dry = Dry(1.0, 2.0, 2, 64, {})
    assert not any(penalties(dry, [1, 1]))
    assert any(penalties(dry, [1]))
    dry.reset(0)
    assert not any(penalties(dry, [1, 1]))


def test_candidates_keep_their_place_after_truncation() -> None:
    options = SamplingOptions(seed=0, samplers=("top_k", "dry"), top_k=2, dry_multiplier=1.0, dry_allowed_length=1)
    sampler = Sampler(options, FakeVocabulary(4))
    for token in (2, 0, 1, 2, 0):
        sampler.accept(token)
    sampler.sample(np.array([0.0, 1.0, 3.0, 2.0], np.float32))
    assert sampler.candidates is not None
    assert sampler.candidates.ids.tolist() == [2, 3]
    assert sampler.candidates.logits.tolist() == [3.0, 2.0]
    sampler.sample(np.array([0.0, 3.0, 1.0, 2.0], np.float32))
    assert sampler.candidates.ids.tolist() == [1, 3]
    assert sampler.candidates.logits.tolist() == [3.0 - 1.75, 2.0]


def test_breakers_are_found_whole_and_begun() -> None:
    pieces = (b"a\nb", b"x", b"ab", b"aba", b"<e", b"\xe4\xbd", b"")
    vocabulary = FakeVocabulary(len(pieces), pieces=pieces)
    assert sequence_breakers(vocabulary, ["\n"]) == {0: [()]}
    assert sequence_breakers(vocabulary, ["abc"]) == {
        2: [(ord("c"),)],
        3: [(ord("b"), ord("c"))],
    }
    assert sequence_breakers(vocabulary, ["<eos>", "\n"]) == {4: [tuple(map(ord, "os>"))], 0: [()]}
    assert sequence_breakers(vocabulary, ["", "zz"]) == {}
    # A token may cut a character in two.
    assert sequence_breakers(vocabulary, ["\u4f60a"]) == {5: [(0xA0, ord("a"))]}


def test_breakers_may_hold_any_bytes() -> None:
    breaker = b"a\xff".decode("utf-8", "surrogateescape")
    assert sequence_breakers(FakeVocabulary(2, pieces=(b"a\xffb", b"a")), [breaker]) == {0: [()], 1: [(0xFF,)]}


def test_a_breaker_may_overlap_in_several_ways() -> None:
    vocabulary = FakeVocabulary(1, pieces=(b"aa",))
    assert sequence_breakers(vocabulary, ["aab", "aab"]) == {0: [(ord("a"), ord("b")), (ord("b"),)]}


def test_long_breakers_are_cut() -> None:
    vocabulary = FakeVocabulary(2, pieces=(b"0", b"x"))
    breaker = "".join(chr(ord("0") + i) for i in range(60))
    (tail,) = sequence_breakers(vocabulary, [breaker])[0]
    assert len(tail) == 20
    assert sequence_breakers(FakeVocabulary(1, pieces=(breaker[:40].encode(),)), [breaker]) == {0: [()]}
