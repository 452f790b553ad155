// Matrix products of float formats: a warp for a row and 1 to 8 tokens, sums in float32.
#include "dependency.cuh"
#include "matmul_arguments.cuh"

struct Half {
    static constexpr int BYTES = 2;
    static __device__ void unpack(uint4 from, float (&to)[8]) {
        const uint32_t words[4] = {from.x, from.y, from.z, from.w};
        for (int i = 0; i < 8; ++i) to[i] = half_to_float(static_cast<uint16_t>(words[i / 2] >> 16 * (i % 2)));
    }
};

struct Bfloat {
    static constexpr int BYTES = 2;
    static __device__ void unpack(uint4 from, float (&to)[8]) {
        const uint32_t words[4] = {from.x, from.y, from.z, from.w};
        for (int i = 0; i < 8; ++i) to[i] = bfloat_to_float(static_cast<uint16_t>(words[i / 2] >> 16 * (i % 2)));
    }
};

struct Float {
    static constexpr int BYTES = 4;
    static __device__ void unpack(uint4 from, float (&to)[4]) {
        const uint32_t words[4] = {from.x, from.y, from.z, from.w};
        for (int i = 0; i < 4; ++i) to[i] = __uint_as_float(words[i]);
    }
};

// `n_tiles` counts runs of 16 bytes of a row of weights; activations have the weights' type, `level_stride` bytes a row.
template <class T, int TOKENS>
__global__ void __launch_bounds__(256) dot_rows(const MatmulArguments a) {
    constexpr int NUMBERS = 16 / T::BYTES;
    const int lane = threadIdx.x % 32, index = blockIdx.x * 8 + threadIdx.x / 32;
    const RowTile tile = find_row_tile(a, index / 16);
    const int row = tile.index * 16 + index % 16;
    if (index / 16 >= a.n_row_tiles || row >= a.n_rows[tile.matrix]) return;
    const int first_token = blockIdx.y * TOKENS;
    const uint8_t* weights = a.weights[tile.matrix] + static_cast<int64_t>(row) * a.n_tiles * 16;
    release_successor();
    wait_for_predecessor();
    float totals[TOKENS];
    for (float& each : totals) each = 0;
#pragma unroll 4
    for (int i = lane; i < a.n_tiles; i += 32) {
        float w[NUMBERS];
        T::unpack(load_16(weights + i * 16), w);
#pragma unroll
        for (int token = 0; token < TOKENS; ++token) {
            float x[NUMBERS];
            const int64_t source = min(first_token + token, a.n_tokens - 1);
            T::unpack(load_16(a.levels + source * a.level_stride + i * 16), x);
#pragma unroll
            for (int k = 0; k < NUMBERS; ++k) totals[token] = __fmaf_rn(w[k], x[k], totals[token]);
        }
    }
#pragma unroll
    for (int token = 0; token < TOKENS; ++token) {
        float total = totals[token];
        for (int apart = 16; apart; apart /= 2) total = __fadd_rn(total, __shfl_xor_sync(ALL_LANES, total, apart));
        if (lane == token) write_product(a, tile, index % 16, first_token + token, total);
    }
}

// Bias and addend, which a product by cuBLAS has not got: one element a thread.
__global__ void __launch_bounds__(256) finish_product(float* out, const float* bias, const float* addend, int n_rows, int64_t n) {
    release_successor();
    wait_for_predecessor();
    const int64_t i = static_cast<int64_t>(blockIdx.x) * 256 + threadIdx.x;
    if (i >= n) return;
    float value = out[i];
    if (bias) value += bias[i % n_rows];
    if (addend) value += addend[i];
    out[i] = value;
}
