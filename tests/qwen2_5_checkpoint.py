"""A checkpoint in the shape of Qwen2.5-0.5B, or smaller, with random weights and the real tokenizer of Qwen2."""

from pathlib import Path

from pyggml.gguf import GGUFFile
from pyggml.gguf.fields import Fields
from tests.checkpoint_files import write_json
from tests.checkpoints import QWEN2_REGEX, QWEN2_SPECIAL, Shape, language_tensors, write_byte_level, write_weights

QWEN2_5_HALF_BILLION = Shape(n_layers=24, n_embd=896, n_ff=4864, n_head=14, n_head_kv=2, n_vocab=151936)
SHRUNK = Shape(n_layers=2, n_embd=128, n_ff=192, n_head=2, n_head_kv=1, n_vocab=151936)


def write_qwen2_5(folder: Path, vocabulary: Path, shape: Shape) -> None:
    """BF16, tied; the tokenizer is that of a GGUF file."""
    with GGUFFile.open(vocabulary) as file:
        fields = Fields(vocabulary, file.metadata)
        texts = fields.require("tokenizer.ggml.tokens", list[str])
        merges = fields.require("tokenizer.ggml.merges", list[str])
        template = fields.require("tokenizer.chat_template", str)
    write_json(
        folder / "config.json",
        {
            **{"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu"},
            **{"hidden_size": shape.n_embd, "intermediate_size": shape.n_ff, "num_hidden_layers": shape.n_layers},
            **{"num_attention_heads": shape.n_head, "num_key_value_heads": shape.n_head_kv},
            **{"vocab_size": shape.n_vocab, "max_position_embeddings": 32768, "rope_theta": 1000000.0},
            **{"rms_norm_eps": 1e-06, "tie_word_embeddings": True, "torch_dtype": "bfloat16"},
            **{"bos_token_id": 151643, "eos_token_id": 151645},
        },
    )
    write_byte_level(
        folder,
        QWEN2_SPECIAL,
        QWEN2_REGEX,
        merges=merges,
        texts=texts[: texts.index(QWEN2_SPECIAL[0])],
        tokenizer_class="Qwen2Tokenizer",
        add_bos_token=False,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=template,
    )
    write_weights(folder, language_tensors(shape, biases=True, tied=True), "BF16")
