// Quantized activations in memory, as activations.cuh writes them and products read them.
//
// Levels: a row of bytes a token, in runs of 64 columns; lane t of a group of four finds there, 16 bytes from 16 t on, its
// operands b0 and b1 of two steps (mma.cuh): columns 4 t .. 4 t + 3 and 16 more, then both plus 32.
// Scales: a float for 32 columns. Sums, where the weights have minimums: whole numbers of 16 bits or floats.
#pragma once
#include "types.cuh"

// Where column `k` of a row stands.
__device__ inline int place_of_column(int k) {
    const int within = k % 64;
    const int step = within / 32, half = within / 16 % 2, lane = within / 4 % 4;
    return k - within + lane * 16 + step * 8 + half * 4 + within % 4;
}

// Some tokens' activations at the columns of one tile. Strides are in bytes, floats and bytes.
struct ActivationRows {
    const uint8_t* levels;
    const float* scales;
    const uint8_t* sums;
    int level_stride;
    int scale_stride;
    int sum_stride;
};
