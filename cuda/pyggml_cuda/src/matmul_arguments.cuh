// What all matrix products are called with: up to three matrices of one format side by side.
#pragma once
#include "types.cuh"

constexpr int MAX_MATRICES = 3;

struct MatmulArguments {
    const uint8_t* weights[MAX_MATRICES];
    const float* biases[MAX_MATRICES];   // (n_rows,) or null
    const float* addends[MAX_MATRICES];  // (n_tokens, n_rows) or null: added to the result
    float* outputs[MAX_MATRICES];        // (n_tokens, n_rows)
    const uint8_t* levels;               // activations, in the form that the format is multiplied with
    const float* scales;
    const uint8_t* sums;
    float* parts;  // (n_parts, n_tokens, n_row_tiles * 16), where blocks sum up a part each (matmul_wide.cu)
    int n_rows[MAX_MATRICES];
    int first_tiles[MAX_MATRICES];  // of 16 rows, counted over all matrices; those of absent matrices are out of reach
    int n_row_tiles;                // of all matrices
    int n_tiles;                    // along a row
    int n_parts;                    // that a row's tiles are summed up in, one after the other
    int n_tokens;
    int level_stride;
    int scale_stride;
    int sum_stride;
};

// One matrix, and which of its tiles of 16 rows.
struct RowTile {
    int matrix;
    int index;
};

__device__ inline RowTile find_row_tile(const MatmulArguments& a, int tile) {
    const int matrix = (tile >= a.first_tiles[1]) + (tile >= a.first_tiles[2]);
    return {matrix, tile - a.first_tiles[matrix]};
}

// Write a product, with bias and addend, where it belongs.
__device__ inline void write_product(const MatmulArguments& a, RowTile tile, int row_in_tile, int token, float value) {
    const int row = tile.index * 16 + row_in_tile, m = tile.matrix;
    if (row >= a.n_rows[m] || token >= a.n_tokens) return;
    if (a.biases[m]) value += a.biases[m][row];
    const int64_t place = static_cast<int64_t>(token) * a.n_rows[m] + row;
    if (a.addends[m]) value += a.addends[m][place];
    a.outputs[m][place] = value;
}

// The tiles of a part, from `first_of_part` to that of the next. The parts do not depend on the batch.
__device__ inline int first_of_part(const MatmulArguments& a, int part) { return part * a.n_tiles / a.n_parts; }
