"""Writes small vocabularies to GGUF files, so that every kind can be tested without a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import gguf

from pyggml.tokenizer.byte_level import BYTE_ALPHABET

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

# Letters, digits, white space, an apostrophe, punctuation, a symbol; the bytes of é, a combining acute, 好, ², an
# ideographic space and an emoji.
FEW_BYTES = b"astAS12 \n\r\t'!.$" + "é\u0301好²\u3000😀".encode()
MANY_BYTES = bytes(sorted({*FEW_BYTES, *b"bdelmrvDELMRV3?,+<>=^~|-_\0\v\f", *range(0x80, 0xC0), *range(0xC2, 0xF5)}))

SPECIAL = {
    **dict.fromkeys(("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<control_unused_1>", "a<s>a"), CONTROL),
    # Some overlap; 好! is longer than !!! in bytes alone.
    **dict.fromkeys(("<tool>", "   ", "\n\n", "a!", "!a", "!!!", "好!"), USER_DEFINED),
    "<unk>": UNKNOWN,
    "<unused>": UNUSED,
}


@dataclass(frozen=True)
class Tokens:
    """Tokens in the order of their ids, with types, scores and merge rules where the kind has them."""

    texts: Sequence[str]
    types: Sequence[int]
    scores: Sequence[float] = ()
    merges: Sequence[str] = ()

    def ids(self) -> dict[str, int]:
        return {text: token for token, text in enumerate(self.texts)}


def write_vocabulary(path: Path, model: str, tokens: Tokens, **metadata: Any) -> Path:
    """Write a file without tensors. In the names of `metadata` two underscores stand for a dot; without any, the name
    follows "tokenizer.ggml."."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    writer.add_array("tokenizer.ggml.tokens", list(tokens.texts))
    writer.add_array("tokenizer.ggml.token_type", list(tokens.types))
    if tokens.scores:
        writer.add_array("tokenizer.ggml.scores", list(tokens.scores))
    if tokens.merges:
        writer.add_array("tokenizer.ggml.merges", list(tokens.merges))
    for name, value in metadata.items():
        key = name.replace("__", ".") if "__" in name else f"tokenizer.ggml.{name}"
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def byte_level_tokens(merged: bytes, seed: int = 0) -> Tokens:
    """All bytes; every pair of the bytes `merged`, and some pairs of pairs, merged in a random order; words; SPECIAL.

    As nearly all neighbours merge, a word that ends at another place has other tokens.
    """
    random = Random(seed)
    alphabet = [BYTE_ALPHABET[byte] for byte in merged]
    pairs = list(product(alphabet, alphabet))
    products = ["".join(pair) for pair in pairs]
    pairs += [(random.choice(products), random.choice(products)) for _ in range(len(pairs) // 4)]
    pairs += [(random.choice(products), random.choice(alphabet)) for _ in range(len(pairs) // 4)]
    random.shuffle(pairs)
    rules = list(dict.fromkeys(f"{left} {right}" for left, right in pairs))
    texts = dict.fromkeys([*BYTE_ALPHABET, *(rule.replace(" ", "") for rule in rules)], NORMAL)
    # Where there are many rules, some make no token, so that characters get lost.
    for text in random.sample(products, len(products) // 20):
        del texts[text]
    # Words that no rule leads to.
    texts.update(dict.fromkeys(("Hello", "ĠWorld", "Ġand", "the"), NORMAL) | SPECIAL)
    # Said again, a rule says nothing new.
    return Tokens(list(texts), list(texts.values()), merges=[*rules, *rules[: len(rules) // 4]])


def sentencepiece_tokens(seed: int = 0) -> Tokens:
    """SPECIAL, all bytes, and pieces of up to three of a few characters with scores that are often equal."""
    random = Random(seed)
    texts = {"<unk>": UNKNOWN, **SPECIAL, **{f"<0x{byte:02X}>": BYTE for byte in range(256)}}
    characters = "ab▁é好1\n!"
    pieces = ["".join(each) for length in (1, 2, 3) for each in product(characters, repeat=length)]
    kept = [piece for piece in pieces if len(piece) == 1 or random.random() < 0.4]
    texts.update({piece: NORMAL for piece in [*kept, "▁▁▁▁", "ab▁ab", "<", "s", ">", "<s", "0x"] if piece not in texts})
    scores = [-float(random.randrange(40)) for _ in texts]
    return Tokens(list(texts), list(texts.values()), scores=scores)
