"""Result and argument types of the C functions in use, by name."""

import ctypes
from typing import Any

from pyggml_reference.structures import (
    ABORT_CALLBACK,
    LOG_CALLBACK,
    Batch,
    ContextParams,
    CpuTypeTraits,
    InitParams,
    LogitBias,
    ModelParams,
    PictureParams,
    PicturePosition,
    PictureText,
    SamplerChainParams,
    TokenDataArray,
    TypeTraits,
)

_BOOL, _INT32, _INT64 = ctypes.c_bool, ctypes.c_int32, ctypes.c_int64
_UINT32, _SIZE, _FLOAT = ctypes.c_uint32, ctypes.c_size_t, ctypes.c_float
_POINTER, _STRING, _ENUM = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
_ROW_CONVERSION = [_POINTER, _POINTER, _INT64]
_ROPE_PARAMETERS = [_INT32, _INT32, _INT32, *[_FLOAT] * 6]

Prototype = tuple[Any, list[Any]]

QUANTIZATION: dict[str, Prototype] = {
    "ggml_get_type_traits": (ctypes.POINTER(TypeTraits), [_ENUM]),
    "ggml_get_type_traits_cpu": (ctypes.POINTER(CpuTypeTraits), [_ENUM]),
    "ggml_row_size": (_SIZE, [_ENUM, _INT64]),
    "ggml_quantize_requires_imatrix": (_BOOL, [_ENUM]),
    "ggml_quantize_chunk": (_SIZE, [_ENUM, _POINTER, _POINTER, _INT64, _INT64, _INT64, _POINTER]),
    "ggml_validate_row_data": (_BOOL, [_ENUM, _POINTER, _SIZE]),
    "ggml_fp32_to_fp16_row": (None, _ROW_CONVERSION),
    "ggml_fp32_to_bf16_row": (None, _ROW_CONVERSION),
    "ggml_fp32_to_bf16_row_ref": (None, _ROW_CONVERSION),
    "quantize_row_q8_0_ref": (None, _ROW_CONVERSION),
    "quantize_row_q8_1_ref": (None, _ROW_CONVERSION),
    "quantize_row_q8_K_ref": (None, _ROW_CONVERSION),
    "dequantize_row_q8_K": (None, _ROW_CONVERSION),
}

GRAPH: dict[str, Prototype] = {
    "ggml_cpu_init": (None, []),
    "ggml_set_abort_callback": (_POINTER, [ABORT_CALLBACK]),
    "ggml_init": (_POINTER, [InitParams]),
    "ggml_free": (None, [_POINTER]),
    "ggml_new_tensor": (_POINTER, [_POINTER, _ENUM, _INT32, ctypes.POINTER(_INT64)]),
    "ggml_get_data": (_POINTER, [_POINTER]),
    "ggml_nbytes": (_SIZE, [_POINTER]),
    "ggml_new_graph": (_POINTER, [_POINTER]),
    "ggml_build_forward_expand": (None, [_POINTER, _POINTER]),
    "ggml_graph_compute_with_ctx": (_ENUM, [_POINTER, _POINTER, _INT32]),
    "ggml_backend_tensor_get": (None, [_POINTER, _POINTER, _SIZE, _SIZE]),
    "ggml_add": (_POINTER, [_POINTER] * 3),
    "ggml_mul": (_POINTER, [_POINTER] * 3),
    "ggml_mul_mat": (_POINTER, [_POINTER] * 3),
    "ggml_get_rows": (_POINTER, [_POINTER] * 3),
    "ggml_swiglu_split": (_POINTER, [_POINTER] * 3),
    "ggml_rms_norm": (_POINTER, [_POINTER, _POINTER, _FLOAT]),
    "ggml_norm": (_POINTER, [_POINTER, _POINTER, _FLOAT]),
    "ggml_gelu": (_POINTER, [_POINTER] * 2),
    "ggml_gelu_quick": (_POINTER, [_POINTER] * 2),
    "ggml_rope_multi": (_POINTER, [*[_POINTER] * 4, _INT32, ctypes.POINTER(_ENUM), *_ROPE_PARAMETERS[1:]]),
    "ggml_rope_ext": (_POINTER, [*[_POINTER] * 4, *_ROPE_PARAMETERS]),
    "ggml_soft_max_ext": (_POINTER, [*[_POINTER] * 3, _FLOAT, _FLOAT]),
    "ggml_flash_attn_ext": (_POINTER, [*[_POINTER] * 5, _FLOAT, _FLOAT, _FLOAT]),
}

VOCABULARY: dict[str, Prototype] = {
    "llama_vocab_n_tokens": (_INT32, [_POINTER]),
    "llama_vocab_get_text": (_STRING, [_POINTER, _INT32]),
    "llama_vocab_get_score": (_FLOAT, [_POINTER, _INT32]),
    "llama_vocab_get_attr": (_ENUM, [_POINTER, _INT32]),
    "llama_vocab_is_eog": (_BOOL, [_POINTER, _INT32]),
    **{
        f"llama_vocab_{name}": (_INT32, [_POINTER])
        for name in (
            *("bos", "eos", "eot", "sep", "nl", "pad", "mask"),
            *("fim_pre", "fim_suf", "fim_mid", "fim_pad", "fim_rep", "fim_sep"),
        )
    },
    "llama_vocab_get_add_bos": (_BOOL, [_POINTER]),
    "llama_vocab_get_add_eos": (_BOOL, [_POINTER]),
    "llama_tokenize": (_INT32, [_POINTER, _STRING, _INT32, _POINTER, _INT32, _BOOL, _BOOL]),
    "llama_token_to_piece": (_INT32, [_POINTER, _INT32, _POINTER, _INT32, _INT32, _BOOL]),
    "llama_detokenize": (_INT32, [_POINTER, _POINTER, _INT32, _POINTER, _INT32, _BOOL, _BOOL]),
}

MODEL: dict[str, Prototype] = {
    "llama_backend_init": (None, []),
    "llama_log_set": (None, [LOG_CALLBACK, _POINTER]),
    "llama_model_default_params": (ModelParams, []),
    "llama_context_default_params": (ContextParams, []),
    "llama_model_load_from_file": (_POINTER, [_STRING, ModelParams]),
    "llama_model_free": (None, [_POINTER]),
    "llama_model_get_vocab": (_POINTER, [_POINTER]),
    "llama_model_n_layer": (_INT32, [_POINTER]),
    "llama_model_n_embd": (_INT32, [_POINTER]),
    "llama_init_from_model": (_POINTER, [_POINTER, ContextParams]),
    "llama_free": (None, [_POINTER]),
    "llama_get_memory": (_POINTER, [_POINTER]),
    "llama_memory_clear": (None, [_POINTER, _BOOL]),
    "llama_memory_seq_rm": (_BOOL, [_POINTER, _INT32, _INT32, _INT32]),
    "llama_n_ctx": (_UINT32, [_POINTER]),
    "llama_decode": (_INT32, [_POINTER, Batch]),
    "llama_get_logits": (ctypes.POINTER(_FLOAT), [_POINTER]),
}

SAMPLERS: dict[str, Prototype] = {
    "llama_sampler_chain_default_params": (SamplerChainParams, []),
    "llama_sampler_chain_init": (_POINTER, [SamplerChainParams]),
    "llama_sampler_chain_add": (None, [_POINTER, _POINTER]),
    "llama_sampler_accept": (None, [_POINTER, _INT32]),
    "llama_sampler_apply": (None, [_POINTER, ctypes.POINTER(TokenDataArray)]),
    "llama_sampler_reset": (None, [_POINTER]),
    "llama_sampler_free": (None, [_POINTER]),
    "llama_sampler_init_greedy": (_POINTER, []),
    "llama_sampler_init_dist": (_POINTER, [_UINT32]),
    "llama_sampler_init_top_k": (_POINTER, [_INT32]),
    "llama_sampler_init_top_p": (_POINTER, [_FLOAT, _SIZE]),
    "llama_sampler_init_min_p": (_POINTER, [_FLOAT, _SIZE]),
    "llama_sampler_init_typical": (_POINTER, [_FLOAT, _SIZE]),
    "llama_sampler_init_temp": (_POINTER, [_FLOAT]),
    "llama_sampler_init_temp_ext": (_POINTER, [_FLOAT, _FLOAT, _FLOAT]),
    "llama_sampler_init_xtc": (_POINTER, [_FLOAT, _FLOAT, _SIZE, _UINT32]),
    "llama_sampler_init_top_n_sigma": (_POINTER, [_FLOAT]),
    "llama_sampler_init_mirostat": (_POINTER, [_INT32, _UINT32, _FLOAT, _FLOAT, _INT32]),
    "llama_sampler_init_mirostat_v2": (_POINTER, [_UINT32, _FLOAT, _FLOAT]),
    "llama_sampler_init_penalties": (_POINTER, [_INT32, _INT32, _FLOAT, _FLOAT, _FLOAT]),
    "llama_sampler_init_dry": (
        _POINTER,
        [_POINTER, _FLOAT, _FLOAT, _INT32, _INT32, ctypes.POINTER(_STRING), _SIZE],
    ),
    "llama_sampler_init_grammar": (_POINTER, [_POINTER, _STRING, _STRING]),
    "llama_sampler_init_adaptive_p": (_POINTER, [_FLOAT, _FLOAT, _UINT32]),
    "llama_sampler_init_logit_bias": (_POINTER, [_INT32, _INT32, ctypes.POINTER(LogitBias)]),
}

PICTURES: dict[str, Prototype] = {
    "mtmd_helper_log_set": (None, [LOG_CALLBACK, _POINTER]),
    "mtmd_context_params_default": (PictureParams, []),
    "mtmd_init_from_file": (_POINTER, [_STRING, _POINTER, PictureParams]),
    "mtmd_free": (None, [_POINTER]),
    "mtmd_bitmap_init": (_POINTER, [_UINT32, _UINT32, _POINTER]),
    "mtmd_bitmap_free": (None, [_POINTER]),
    "mtmd_helper_eval_chunks": (_INT32, [*[_POINTER] * 3, _INT32, _INT32, _INT32, _BOOL, ctypes.POINTER(_INT32)]),
    "mtmd_input_chunks_init": (_POINTER, []),
    "mtmd_input_chunks_size": (_SIZE, [_POINTER]),
    "mtmd_input_chunks_get": (_POINTER, [_POINTER, _SIZE]),
    "mtmd_input_chunks_free": (None, [_POINTER]),
    "mtmd_input_chunk_get_type": (_ENUM, [_POINTER]),
    "mtmd_input_chunk_get_tokens_text": (ctypes.POINTER(_INT32), [_POINTER, ctypes.POINTER(_SIZE)]),
    "mtmd_input_chunk_get_tokens_image": (_POINTER, [_POINTER]),
    "mtmd_input_chunk_get_n_tokens": (_SIZE, [_POINTER]),
    "mtmd_input_chunk_get_n_pos": (_INT32, [_POINTER]),
    "mtmd_image_tokens_get_decoder_pos": (PicturePosition, [_POINTER, _INT32, _SIZE]),
    "mtmd_tokenize": (
        _INT32,
        [_POINTER, _POINTER, ctypes.POINTER(PictureText), ctypes.POINTER(_POINTER), _SIZE],
    ),
    "mtmd_encode_chunk": (_INT32, [_POINTER, _POINTER]),
    "mtmd_get_output_embd": (ctypes.POINTER(_FLOAT), [_POINTER]),
}

ALL: dict[str, Prototype] = {**QUANTIZATION, **GRAPH, **VOCABULARY, **MODEL, **SAMPLERS, **PICTURES}
