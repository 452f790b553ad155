"""Vocabularies of checkpoints: the kind is recognized, and what is unsound is named."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyggml.convert import ConvertOptions, plan_conversion
from pyggml.convert.known_tokenizers import NAMES_BY_HASH
from pyggml.errors import CheckpointError, UsageError
from pyggml.gguf.encoding import Field
from pyggml.tokenizer.pre_tokenizers import PRE_TOKENIZERS
from tests.checkpoint_files import write_json
from tests.checkpoints import write_checkpoint

QWEN2, LLAMA3 = "Qwen2.5-Tiny-v0.2-Instruct", "Llama-3.1-0.1M-Chat"
# Made by transformers from the tokenizers of these two checkpoints, as llama.cpp's converter does it.
HASHES = {
    QWEN2: "a8180bf2c89bd89e1ea7aea869b930c281c41dcaafdbcf2f963a19d7468e618e",
    LLAMA3: "acb0bf025963ca4bc5bccb666d12f37080c0cf1272acf2ef78cb266281d6fb91",
}

Tokenizer = dict[str, Any]


def changed_tokenizer(folder: Path, change: Callable[[Tokenizer], None]) -> None:
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    change(tokenizer)
    write_json(path, tokenizer)


def fields(folder: Path, **options: Any) -> dict[str, Field]:
    (shard,) = plan_conversion(folder, None, ConvertOptions(is_vocabulary_only=True, **options))
    return dict(shard.metadata)


@pytest.mark.parametrize("name", HASHES)
def test_a_known_vocabulary_is_recognized_by_its_ids(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_checkpoint(tmp_path, name)
    monkeypatch.setattr("pyggml.convert.pre_tokenizer.NAMES_BY_HASH", {HASHES[name]: "known"})
    assert fields(folder)["tokenizer.ggml.pre"].value == "known"


@pytest.mark.parametrize(("name", "expected"), [(QWEN2, "qwen2"), (LLAMA3, "llama-bpe")])
def test_an_unknown_vocabulary_is_recognized_by_how_it_splits(name: str, expected: str, tmp_path: Path) -> None:
    assert fields(write_checkpoint(tmp_path, name))["tokenizer.ggml.pre"].value == expected


def byte_level(tokenizer: Tokenizer) -> None:
    tokenizer["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False}


def digits(tokenizer: Tokenizer) -> None:
    steps = [{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "use_regex": True}]
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}


def merging_all(tokenizer: Tokenizer) -> None:
    tokenizer["model"]["ignore_merges"] = False


@pytest.mark.parametrize(
    ("change", "expected"), [(byte_level, "gpt-2"), (digits, "smollm"), (merging_all, "smaug-bpe")]
)
def test_other_ways_of_splitting(change: Callable[[Tokenizer], None], expected: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, LLAMA3)
    changed_tokenizer(folder, change)
    assert fields(folder)["tokenizer.ggml.pre"].value == expected


def test_every_known_name_is_supported() -> None:
    assert set(NAMES_BY_HASH.values()) <= PRE_TOKENIZERS.keys()


def test_a_name_that_is_given_is_taken(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, QWEN2)
    assert fields(folder, pre_tokenizer="gpt-2")["tokenizer.ggml.pre"].value == "gpt-2"
    with pytest.raises(UsageError, match=r"--pre-tokenizer 'qwen' is unknown; allowed are a.x-4.0, chatglm-bpe"):
        fields(folder, pre_tokenizer="qwen")


def unknown_steps(tokenizer: Tokenizer) -> None:
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "Metaspace"}]}


def negative_id(tokenizer: Tokenizer) -> None:
    tokenizer["model"]["vocab"]["a"] = -1


def large_id(tokenizer: Tokenizer) -> None:
    tokenizer["model"]["vocab"]["zz"] = 300


def large_added_id(tokenizer: Tokenizer) -> None:
    tokenizer["added_tokens"][0]["id"] = 1 << 30


def lone_merge(tokenizer: Tokenizer) -> None:
    tokenizer["model"]["merges"][1] = ["h"]


def unigram(tokenizer: Tokenizer) -> None:
    tokenizer["model"] = {"type": "Unigram", "vocab": []}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            unknown_steps,
            "the way of splitting texts (pre_tokenizer) is ['Digits together', 'Metaspace']; known here ",
        ),
        (negative_id, "the vocabulary (model.vocab) has ids that are none; allowed are integers from 0 to 16777215"),
        (large_id, "token 'zz' has the id 300; allowed are ids below 288, the vocab_size in config.json"),
        (large_added_id, "the key 'added_tokens[0].id' is 1073741824; allowed is at most 16777215"),
        (lone_merge, "the merge rule ['h'] (model.merges) is none; allowed are two texts with a space between them"),
        (unigram, "the vocabulary is of the kind 'Unigram'; allowed is BPE"),
    ],
)
def test_unsound_vocabularies_are_named(change: Callable[[Tokenizer], None], message: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, QWEN2)
    changed_tokenizer(folder, change)
    with pytest.raises(CheckpointError, match=re.escape(f"{folder / 'tokenizer.json'}: {message}")):
        fields(folder)


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, QWEN2)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer.json: the file cannot be read: No such file"):
        fields(folder)


def test_ids_of_a_byte_fallback_vocabulary_have_to_follow_each_other(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, "llama-byte-fallback")
    changed_tokenizer(folder, lambda tokenizer: tokenizer["model"]["vocab"].update(an=5))
    with pytest.raises(CheckpointError, match=r"\(model.vocab\) has ids that repeat, or leaves some out"):
        fields(folder)


@pytest.mark.parametrize("number", ["x", "99999999", "-1"])
def test_ids_of_added_tokens_are_checked(number: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, QWEN2)
    write_json(folder / "tokenizer_config.json", {"added_tokens_decoder": {number: {"content": "<x>"}}})
    with pytest.raises(CheckpointError, match="allowed is under a key that is an id, from 0 to 16777215"):
        fields(folder)


def test_tokens_of_the_config_alone_count_too(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, QWEN2)
    write_json(folder / "tokenizer_config.json", {"added_tokens_decoder": {"280": {"content": "<x>"}}})
    found = fields(folder)
    assert found["tokenizer.ggml.tokens"].value[280] == "<x>"  # type: ignore[index]  # an array
    assert found["tokenizer.ggml.token_type"].value[280] == 4  # type: ignore[index]


@pytest.mark.parametrize(("n_vocab", "key"), [(32016, "tokenizer.ggml.eot_token_id"), (49152, "add_bos_token")])
def test_some_models_are_recognized_by_their_sizes(n_vocab: int, key: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, LLAMA3)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    before = fields(folder)
    write_json(folder / "config.json", {**config, "vocab_size": n_vocab})
    after = {name: field.value for name, field in fields(folder).items() if name.endswith(key)}
    assert after == ({key: 32010} if n_vocab == 32016 else {f"tokenizer.ggml.{key}": False})
    assert [field.value for name, field in before.items() if name.endswith(key)] in ([], [True])
