// Matrix products with many tokens: a block for 128 rows and 64 tokens, whose warps share the activations.
#include "copy_async.cuh"
#include "matmul_arguments.cuh"
#include "tile_product.cuh"

constexpr int TOKENS = 64;
constexpr int WARPS = 8;
// Levels of a token at one tile, padded so that the rows of a product lie in different banks.
constexpr int LEVEL_STRIDE = 256 + 64;

// The activations at one tile, in shared memory.
template <class F>
struct Stage {
    static constexpr int SUM_STRIDE = Tile<F>::SUM_BYTES + 4;
    uint8_t levels[TOKENS * LEVEL_STRIDE];
    float scales[TOKENS * 9];
    uint8_t sums[TOKENS * SUM_STRIDE];

    // Begin to copy tile `tile`; tokens behind the last are copies of it.
    __device__ void fill(const MatmulArguments& a, int first_token, int tile) {
        for (int i = threadIdx.x; i < TOKENS * 16; i += 32 * WARPS) {
            const int64_t token = min(first_token + i / 16, a.n_tokens - 1);
            copy_16_async(
                levels + i / 16 * LEVEL_STRIDE + i % 16 * 16, a.levels + token * a.level_stride + tile * 256 + i % 16 * 16);
        }
        for (int i = threadIdx.x; i < TOKENS * 8; i += 32 * WARPS) {
            const int64_t token = min(first_token + i / 8, a.n_tokens - 1);
            copy_4_async(scales + i / 8 * 9 + i % 8, a.scales + token * a.scale_stride + tile * 8 + i % 8);
        }
        constexpr int WORDS = Tile<F>::SUM_BYTES / 4;
        if constexpr (WORDS > 0) {
            for (int i = threadIdx.x; i < TOKENS * WORDS; i += 32 * WARPS) {
                const int64_t token = min(first_token + i / WORDS, a.n_tokens - 1);
                copy_4_async(
                    sums + i / WORDS * SUM_STRIDE + i % WORDS * 4,
                    a.sums + token * a.sum_stride + tile * Tile<F>::SUM_BYTES + i % WORDS * 4);
            }
        }
    }
    __device__ ActivationRows rows() const { return {levels, scales, sums, LEVEL_STRIDE, 9, SUM_STRIDE}; }
};

template <class F>
__global__ void __launch_bounds__(32 * WARPS, 1) matmul_many(const MatmulArguments a) {
    extern __shared__ uint4 shared_memory[];
    Stage<F>* stages = reinterpret_cast<Stage<F>*>(shared_memory);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    // A block's weights are read by all blocks of the same rows: these run side by side.
    const int first_token = blockIdx.x * TOKENS;
    const int last = min(TOKENS, a.n_tokens - first_token) - 1;
    const int row_tile_index = min(static_cast<int>(blockIdx.y) * WARPS + warp, a.n_row_tiles - 1);
    const RowTile row_tile = find_row_tile(a, row_tile_index);
    const uint8_t* tile =
        a.weights[row_tile.matrix] + static_cast<int64_t>(row_tile.index) * a.n_tiles * Tile<F>::BYTES;
    float total[TOKENS / 8][4], part_total[TOKENS / 8][4];
    for (auto& each : total)
        for (float& value : each) value = 0;
    stages[0].fill(a, first_token, 0);
    typename F::Levels levels, next;
    next.load(tile, lane);
    int index = 0;
    for (int part = 0; part < a.n_parts; ++part) {
        for (auto& each : part_total)
            for (float& value : each) value = 0;
        for (const int end = first_of_part(a, part + 1); index < end; ++index) {
            wait_for_copies();
            __syncthreads();
            if (index + 1 < a.n_tiles) stages[(index + 1) % 2].fill(a, first_token, index + 1);
            levels = next;
            if (index + 1 < a.n_tiles) next.load(tile + Tile<F>::BYTES, lane);
            add_tile<F, TOKENS / 8>(
                part_total, levels, tile + F::Levels::BYTES, stages[index % 2].rows(), last, g, t);
            tile += Tile<F>::BYTES;
        }
        for (int c = 0; c < TOKENS / 8; ++c)
            for (int j = 0; j < 4; ++j) total[c][j] = __fadd_rn(total[c][j], part_total[c][j]);
    }
    if (row_tile_index != static_cast<int>(blockIdx.y) * WARPS + warp) return;
#pragma unroll
    for (int c = 0; c < TOKENS / 8; ++c)
#pragma unroll
        for (int j = 0; j < 4; ++j)
            write_product(a, row_tile, g + j / 2 * 8, first_token + 8 * c + 2 * t + j % 2, total[c][j]);
}
