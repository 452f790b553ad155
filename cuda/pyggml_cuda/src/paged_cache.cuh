// Where a position's keys and values lie: see pyggml_kernels/attention.py.
#pragma once
#include "types.cuh"

// One layer's keys, or values.
struct CacheRows {
    uint8_t* data;
    int64_t page_bytes;
    int row_bytes;
    int page_size;

    __device__ int64_t offset(int page, int slot, int head) const {
        return page * page_bytes + static_cast<int64_t>(head * page_size + slot) * row_bytes;
    }
    __device__ uint8_t* row(int page, int slot, int head) const { return data + offset(page, slot, head); }
};

struct PageTable {
    const int* pages;      // (n_sequences, stride)
    const int* positions;  // (n_tokens,)
    const int* sequences;  // (n_tokens,)
    int stride;

    __device__ const int* of_token(int token) const { return pages + sequences[token] * stride; }
};
