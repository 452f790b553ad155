"""Build the demo models' tokenizer: a true subset of Qwen2's byte-level BPE.

python -m demo_models.build_tokenizer --vocab ggml-vocab-qwen2.gguf --out FOLDER    # reference/ on PYTHONPATH

Merges are ordered, so the first ones are a vocabulary of their own. This one has the 256 bytes, the first merges of
Qwen2, the later ones that the Chinese texts need with all that they are made from, in their order, and the special
tokens of Qwen2-VL: as many first merges as fill it up to --size tokens. words.txt has the words that are spelled.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random

import gguf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from demo_models.chat_templates import TEXT_TEMPLATE
from demo_models.mixture import TASKS, render, sample
from demo_models.picture_phrases import picture_phrases
from demo_models.remarks import say
from demo_models.tables import names, pairs, rows

_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
_N_BYTES = 256
_N_DOCUMENTS = 6000  # of each task in Chinese

Merges = list[tuple[str, str]]


def read_vocabulary(path: Path) -> tuple[list[str], Merges]:
    """Tokens and merges of a GGUF file."""
    fields = gguf.GGUFReader(path).fields
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    return fields["tokenizer.ggml.tokens"].contents(), [(left, right) for left, right in merges]


def make_tokenizer(vocabulary: dict[str, int], merges: Merges, special: list[str]) -> Tokenizer:
    """A byte-level BPE that splits texts as Qwen2's does."""
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, fuse_unk=False, byte_fallback=False))
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    return made


def words(tokens: list[str]) -> list[str]:
    """Words to spell: the most frequent ones of the vocabulary, and those of the tables."""
    whole = [token[1:] for token in tokens if token.startswith("Ġ") and token[1:].isascii() and token[1:].islower()]
    found = set([word for word in whole if word.isalpha() and 3 <= len(word) <= 11][:7000])
    tables: list[Iterable[str]] = [pairs(table) for table in ("thing_colors", "uses", "plurals", "past_tenses")]
    tables += [rows("animals"), pairs("translations"), names("objects"), names("have_items")]
    tables += rows("categories").values()
    phrases = [phrase for table in tables for phrase in table]
    found |= {word for phrase in phrases for word in phrase.lower().split() if word.isalpha() and len(word) > 2}
    return sorted(found)


def chinese_texts() -> list[str]:
    """Texts with all Chinese characters that occur."""
    rng = Random(0)
    tasks = [name for name in TASKS if name.startswith("zh") or name == "translate"]
    texts = [render(rng, sample(rng, "train", name)[1]) for name in tasks for _ in range(_N_DOCUMENTS)]
    texts += [first + second for table in ("identity", "greetings") for first, second in pairs(table).items()]
    return texts + picture_phrases()


def needed_merges(full: Tokenizer, merges: Merges, texts: list[str]) -> set[int]:
    """Indices of the merges that make the tokens outside ASCII that occur in the texts."""
    maker: dict[str, int] = {}
    for index, (left, right) in enumerate(merges):
        maker.setdefault(left + right, index)
    counts: Counter[str] = Counter()
    for encoding in full.encode_batch(texts):
        counts.update(encoding.tokens)
    waiting = [token for token in counts if any(ord(letter) > 0x7F and letter not in "ĠĊ" for letter in token)]
    needed: set[int] = set()
    while waiting:
        made_by = maker.get(waiting.pop())
        if made_by is not None and made_by not in needed:
            needed.add(made_by)
            waiting += merges[made_by]
    return needed


def kept_merges(merges: Merges, needed: set[int], n_merges: int) -> Merges:
    """As many first merges as leave room for the needed ones."""
    n_first = n_merges
    while n_first + sum(index >= n_first for index in needed) > n_merges:
        n_first -= 1
    return [merge for index, merge in enumerate(merges) if index < n_first or index in needed]


def save(folder: Path, tokenizer: Tokenizer, vocabulary: dict[str, int], merges: Merges) -> None:
    """Write the files of a tokenizer of Hugging Face."""
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("".join(f"{left} {right}\n" for left, right in merges), encoding="utf-8")
    flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False)
    added = {str(tokenizer.token_to_id(name)): {"content": name, **flags, "special": True} for name in _SPECIAL}
    config = {
        "add_prefix_space": False,
        "additional_special_tokens": _SPECIAL[1:],
        "bos_token": None,
        "added_tokens_decoder": added,
        "chat_template": TEXT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 2048,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")


def main() -> None:
    """Write the tokenizer's folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocab", type=Path, required=True, help="a GGUF file with Qwen2's vocabulary")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=7936)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tokens, merges = read_vocabulary(options.vocab)
    (options.out / "words.txt").write_text("\n".join(words(tokens)) + "\n", encoding="utf-8")
    plain = {token: index for index, token in enumerate(tokens[: _N_BYTES + len(merges)]) if not token.startswith("<|")}
    needed = needed_merges(make_tokenizer(plain, merges, []), merges, chinese_texts())
    kept = kept_merges(merges, needed, options.size - _N_BYTES - len(_SPECIAL))
    vocabulary = {token: index for index, token in enumerate(tokens[:_N_BYTES])}
    for left, right in kept:
        vocabulary.setdefault(left + right, len(vocabulary))
    tokenizer = make_tokenizer(vocabulary, kept, _SPECIAL)
    save(options.out, tokenizer, vocabulary, kept)
    say(f"{len(kept)} of {len(merges)} merges, {tokenizer.get_vocab_size()} tokens")


if __name__ == "__main__":
    main()
