"""Who made a model: the keys that gguf-py's Metadata, which llama.cpp's converter uses, would write."""

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import gguf
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.convert import open_checkpoint
from pyggml.convert.authorship import authorship_fields, find_authorship
from pyggml.errors import CheckpointError, MissingExtraError
from tests.checkpoint_files import write_json

N_WEIGHTS = 494_000_000
words = st.sampled_from(["Qwen2.5", "my model", "0.5B", "v2", "https://x.org/a", ""])
names = st.sampled_from(
    ["Qwen/Qwen2.5-0.5B", "plain", "https://huggingface.co/org/data-v1.0", "https://x.org/y", "a b"]
)
described = st.just({"name": "Base", "author": "Someone", "repo_url": "https://x.org/z"})
several = st.one_of(names, st.lists(names | described, max_size=2))
cards = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("name", "model_name", "author", "model_creator", "organization", "basename"), words),
        **dict.fromkeys(("model_type", "finetune", "size_label", "description", "license_name", "url", "doi"), words),
        "license": st.one_of(words, st.lists(words.filter(bool), min_size=1, max_size=2)),
        **dict.fromkeys(("base_model", "base_models", "datasets", "dataset"), several),
        **{key: st.one_of(words, st.lists(words, max_size=2)) for key in ("tags", "pipeline_tag", "language")},
    },
)
generations = st.fixed_dictionaries(
    {},
    optional={
        **{"top_k": st.integers(0, 99), "top_p": st.floats(0, 1), "temperature": st.floats(0, 2)},
        **{"mirostat_tau": st.floats(1, 2), "penalty_repeat": st.floats(1, 2), "do_sample": st.booleans()},
    },
)
overrides = st.fixed_dictionaries(
    {},
    optional={
        **{f"general.{key}": words for key in ("name", "author", "version", "url", "source.doi", "license.link")},
        "general.sampling.top_k": st.integers(1, 9),
        "general.base_models": st.lists(described, min_size=1, max_size=2),
        "general.tags": st.lists(words.filter(bool), min_size=1, max_size=2),
    },
)


def write(folder: Path, card: dict[str, Any]) -> None:
    write_json(folder / "config.json", {})
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(card)}---\n# Title\n", encoding="utf-8")


@settings(max_examples=300, deadline=None)
@given(cards, generations, overrides, st.none() | names, st.none() | st.just("Given"), st.booleans())
def test_keys_are_those_of_gguf_py(
    card: dict[str, Any],
    generation: dict[str, Any],
    override: dict[str, Any],
    published: str | None,
    name: str | None,
    has_weights: bool,
) -> None:
    n_weights = N_WEIGHTS if has_weights else 0
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "Qwen2.5-0.5B-Instruct"
        folder.mkdir()
        write(folder, card)
        write_json(folder / "config.json", {} if published is None else {"_name_or_path": published})
        write_json(folder / "generation_config.json", generation)
        given_path = Path(parent) / "override.json"
        write_json(given_path, override)
        expected = gguf.Metadata.load(given_path, folder, name, n_weights)
        if expected.size_label is None and n_weights:
            expected.size_label = gguf.size_label(n_weights, n_weights, 0, 0)
        writer = gguf.GGUFWriter(None, "llama")
        expected.set_gguf_meta_model(writer)
        found = find_authorship(open_checkpoint(folder, needs_weights=False), n_weights, given_path, name)
        fields = [(key, field.value) for key, field in authorship_fields(found)]
    keys = {key: value.value for key, value in writer.kv_data[0].items() if key != "general.architecture"}
    assert fields == list(keys.items())


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("- a\n- b", "README.md: the head of the model card is a list; allowed are keys with values"),
        ("a: [", "README.md: the head of the model card is no sound YAML: while parsing"),
        ("version: 1.0", "README.md: the key 'version' is 1.0; allowed is a string"),
        ("version: 2024-01-01", "README.md: the key 'version' is \"2024-01-01\"; allowed is a string"),
        ("tags:\n- 1", "README.md: the key 'tags' is [1]; allowed is an array in which each element is a string"),
        ("base_model: 3", "README.md: the key 'base_model' is 3; allowed is a name, an address, or an array of them"),
        ("a: !!python/object/apply:os.system [true]", "is no sound YAML: could not determine a constructor"),
    ],
)
def test_unsound_cards_are_named(card: str, message: str, tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {})
    (tmp_path / "README.md").write_text(f"---\n{card}\n---\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match=re.escape(message)):
        find_authorship(open_checkpoint(tmp_path, needs_weights=False), 0, None, None)


def test_a_card_without_a_head_tells_nothing(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {})
    (tmp_path / "README.md").write_text("# A model\n", encoding="utf-8")
    found = find_authorship(open_checkpoint(tmp_path, needs_weights=False), 0, None, "Mine")
    assert [key for key, _ in authorship_fields(found)] == ["general.name"]


def test_a_card_needs_what_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"license": "mit"})
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(
        MissingExtraError, match=r'is in YAML: install what reads it with pip install "pyggml\[convert\]"'
    ):
        find_authorship(open_checkpoint(tmp_path, needs_weights=False), 0, None, None)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            {"general.nam": "x"},
            "the key 'general.nam' cannot be set; allowed are general.author, general.base_models, ",
        ),
        ({"general.name": 3}, "the key 'general.name' is 3; allowed is a string"),
        ({"general.sampling.top_k": 0.5}, "the key 'general.sampling.top_k' is 0.5; allowed is an integer"),
    ],
)
def test_unsound_overrides_are_named(override: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {})
    path = tmp_path / "override.json"
    path.write_text(json.dumps(override), encoding="utf-8")
    with pytest.raises(CheckpointError, match=re.escape(f"{path}: {message}")):
        find_authorship(open_checkpoint(tmp_path, needs_weights=False), 0, path, None)
