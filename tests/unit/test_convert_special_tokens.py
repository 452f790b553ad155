"""Special tokens and templates: the keys that gguf-py's SpecialVocab, which llama.cpp's converter uses, would write."""

import tempfile
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.convert import open_checkpoint
from pyggml.convert.special_vocabulary import special_fields
from pyggml.convert.tokenizer_files import TokenizerFiles
from pyggml.errors import CheckpointError
from tests.checkpoint_files import write_json

TEXTS = ("<s>", "</s>", "<sep>", "<turn>", "<unk>")


def sequence(name: str) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": 0}}


def special(text: str) -> dict[str, Any]:
    return {"SpecialToken": {"id": text, "type_id": 0}}


first = st.lists(st.just(special("<s>")), max_size=1)
between = st.lists(st.sampled_from(TEXTS).map(special), max_size=2)
last = st.lists(st.just(special("</s>")), max_size=1)
singles = st.tuples(first, last).map(lambda ends: [*ends[0], sequence("A"), *ends[1]])
pairs = st.tuples(first, between, last).map(
    lambda parts: [*parts[0], sequence("A"), *parts[1], sequence("B"), *parts[2]]
)
# The gguf-py that is published passes over ByteLevel; tests/model/test_convert_hashes.py has it.
processors = st.one_of(
    st.just({"type": "Other"}),
    st.builds(lambda single, pair: {"type": "TemplateProcessing", "single": single, "pair": pair}, singles, pairs),
)
post_processors = st.one_of(
    st.none(), processors, st.lists(processors, max_size=2).map(lambda each: {"type": "Sequence", "processors": each})
)
named = st.one_of(st.sampled_from(TEXTS), st.sampled_from(TEXTS).map(lambda text: {"content": text}), st.none())
templates = st.one_of(
    st.none(),
    st.just("{{ x }}"),
    st.lists(
        st.sampled_from(["default", "tool use"]).map(lambda name: {"name": name, "template": f"{{{{ {name} }}}}"}),
        max_size=2,
        unique_by=lambda each: each["name"],
    ),
)
# Nor does it take the names of these from a template, and it believes the config about what surrounds a text.
configs = st.fixed_dictionaries(
    {"bos_token": st.just("<s>"), "eos_token": st.just("</s>"), "cls_token": st.just("<s>")},
    optional={
        **{f"{kind}_token": named for kind in ("unk", "sep", "pad", "mask")},
        "chat_template": templates,
    },
)
model_configs = st.fixed_dictionaries(
    {"architectures": st.just(["LlamaForCausalLM"])},
    optional={f"{kind}_token_id": st.sampled_from([0, 1, 4, 9, [1, 2], None]) for kind in ("bos", "eos", "pad")},
)


@settings(max_examples=300, deadline=None)
@given(post_processors, configs, model_configs, st.sampled_from([None, 3]), st.sampled_from(["", "json"]))
def test_keys_are_those_of_gguf_py(
    post_processor: dict[str, Any] | None,
    config: dict[str, Any],
    model_config: dict[str, Any],
    n_vocab: int | None,
    separate: str,
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        added = [{"id": index, "content": text, "special": True} for index, text in enumerate(TEXTS)]
        write_json(folder / "tokenizer.json", {"added_tokens": added, "post_processor": post_processor})
        write_json(folder / "config.json", model_config)
        write_json(folder / "tokenizer_config.json", config)
        if separate:
            write_json(folder / "chat_template.json", {"chat_template": "{{ separate }}"})
        writer = gguf.GGUFWriter(None, "llama")
        gguf.SpecialVocab(folder, n_vocab=n_vocab).add_to_gguf(writer, quiet=True)
        expected = {key: value.value for key, value in writer.kv_data[0].items() if key != "general.architecture"}
        files = TokenizerFiles(open_checkpoint(folder, needs_weights=False))
        fields = [(key, field.value) for key, field in special_fields(files, n_vocab)]
    assert fields == list(expected.items())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"chat_template": [{"name": "default"}]}, r"the key 'chat_template\[0\].template' is missing"),
        (
            {"chat_template": ["x"]},
            "the key 'chat_template' is .*; allowed is an array in which each element is an obj",
        ),
    ],
)
def test_unsound_templates_are_named(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {})
    write_json(tmp_path / "tokenizer_config.json", config)
    files = TokenizerFiles(open_checkpoint(tmp_path, needs_weights=False))
    with pytest.raises(CheckpointError, match=f"tokenizer_config.json: {message}"):
        list(special_fields(files))
