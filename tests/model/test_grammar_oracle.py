"""Grammars against llama.cpp's own: the same tokens are allowed at each step, and the same ones are drawn."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pyggml.engine.constraint import ConstrainedSampler
from pyggml.gguf import GGUFFile
from pyggml.grammar import Grammars
from pyggml.package_data import demo_model
from pyggml.sampling import Logits as AllLogits
from pyggml.sampling import Sampler, SamplingOptions
from pyggml.tokenizer import TokenAttribute, Tokenizer, load_tokenizer
from pyggml_reference.samplers import ReferenceChain
from pyggml_reference.tokenizer import ReferenceVocabulary

Logits = npt.NDArray[np.float32]
STORY = 'root ::= (" " word)+ "."\nword ::= [a-z]{2,6} | "I"'
GRAMMARS = {
    "digits": 'root ::= " "? [0-9]+ ("," " " [0-9]+){2} "."',
    "story": STORY,
    "alternatives": 'root ::= ("the " | "then" | "th" [aeiou]+)* "!"?',
    "not": "root ::= [^a-zA-Z0-9 \\n]+ [^\\x00-\\x7F]*",
    "unicode": 'root ::= ("é" | "日" [ぁ-ゟ]* | [\\U0001F600-\\U0001F64F])+ .',
    "recursive": 'root ::= "(" (root | [a-z]+)* ")" ws\nws ::= [ \\t\\n]*',
    "json": r"""
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws (string ":" ws value ("," ws string ":" ws value)*)? "}" ws
array  ::= "[" ws (value ("," ws value)*)? "]" ws
string ::= "\"" ([^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}))* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
""",
    "bounds": 'root ::= ("a"{2,3} "b"? | "ab"{2} | [xy]{0,2} "-"){1,4}',
}
N_STEPS = 25
#: Bytes that are in no text.
NO_TEXT = {bytes([byte]) for byte in (0, 0xC0, 0xC1, *range(0xF5, 0x100))}
#: Bytes that not every byte of a character may follow, which llama.cpp does not look at.
NARROW = {bytes([byte]) for byte in (0xE0, 0xED, 0xF0, 0xF4)}


@pytest.fixture(scope="module")
def vocabulary() -> Iterator[ReferenceVocabulary]:
    with ReferenceVocabulary(demo_model()) as reference:
        yield reference


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(GGUFFile.open(demo_model()))


@pytest.fixture(scope="module")
def is_text(tokenizer: Tokenizer) -> npt.NDArray[np.bool_]:
    """The tokens that are compared.

    llama.cpp spells control tokens out, and allows them as text; it allows bytes that begin no character, and never a
    zero byte, which ends a text in C.
    """
    is_text = np.array([not attribute & TokenAttribute.CONTROL for attribute in tokenizer.attributes])
    is_text &= [tokenizer.piece(token, special=True)[-1:] not in NO_TEXT for token in range(tokenizer.n_tokens)]
    is_text[sorted(tokenizer.end_of_generation)] = True
    return is_text


@pytest.mark.parametrize("name", GRAMMARS)
def test_the_same_tokens_are_allowed(
    name: str, vocabulary: ReferenceVocabulary, tokenizer: Tokenizer, is_text: npt.NDArray[np.bool_]
) -> None:
    random = np.random.default_rng(5)
    zeros = np.zeros(tokenizer.n_tokens, np.float32)
    grammars = Grammars(tokenizer)
    for _ in range(4):
        constraint = grammars.gbnf(GRAMMARS[name])
        with ReferenceChain([("grammar", {"text": GRAMMARS[name]})], tokenizer.n_tokens, vocabulary) as chain:
            for _ in range(N_STEPS):
                own = np.isfinite(constraint.mask(zeros))
                theirs = chain.candidates(zeros)
                other = np.zeros(tokenizer.n_tokens, np.bool_)
                other[theirs.ids] = np.isfinite(theirs.logits)
                different = np.flatnonzero((own != other) & is_text)
                assert [(int(t), tokenizer.piece(t, special=True), bool(own[t])) for t in different[:9]] == []
                following = [
                    token
                    for token in np.flatnonzero(own & is_text).tolist()
                    if token not in tokenizer.end_of_generation
                    and tokenizer.piece(token, special=True)[-1:] not in NARROW
                ]
                if not following:
                    break
                token = int(random.choice(following))
                assert constraint.allows(token)
                constraint.accept(token)
                chain.accept(token)


class Order:
    """What llama.cpp's `common_sampler_sample` does with its grammar: it draws, and if need be again, masked."""

    def __init__(self, chain: ReferenceChain, grammar: ReferenceChain) -> None:
        self._chain = chain
        self._grammar = grammar
        self.n_again = 0

    def sample(self, logits: Logits) -> int:
        token = self._chain.sample(logits)
        masked = np.full(len(logits), -np.inf, np.float32)
        left = self._grammar.candidates(logits)
        masked[left.ids] = left.logits
        if np.isfinite(masked[token]):
            return token
        self.n_again += 1
        return self._chain.sample(masked)


@pytest.mark.parametrize("seed", range(4))
def test_a_token_that_is_not_allowed_is_drawn_again(
    seed: int, vocabulary: ReferenceVocabulary, tokenizer: Tokenizer, is_text: npt.NDArray[np.bool_]
) -> None:
    n_vocab, random = tokenizer.n_tokens, np.random.default_rng(seed)
    options = SamplingOptions(seed=seed, temperature=1.3, top_k=0, top_p=0.98, min_p=0.0)
    own = ConstrainedSampler(Sampler(options, tokenizer), Grammars(tokenizer).gbnf(STORY))
    samplers: list[tuple[str, dict[str, Any]]] = [
        ("top_p", {"p": 0.98}),
        ("temp_ext", {"temperature": 1.3}),
        ("dist", {"seed": seed}),
    ]
    with (
        ReferenceChain(samplers, n_vocab) as chain,
        ReferenceChain([("grammar", {"text": STORY})], n_vocab, vocabulary) as grammar,
    ):
        order = Order(chain, grammar)
        for _ in range(30):
            logits = np.where(is_text, random.normal(0, 3, n_vocab), -np.inf).astype(np.float32)
            token = own.choose(AllLogits.of(logits))
            assert token == order.sample(logits)
            if token in tokenizer.end_of_generation:
                break
            own.accept(token)
            grammar.accept(token)
        assert order.n_again > 5
