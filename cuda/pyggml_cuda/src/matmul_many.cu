// Matrix products with many tokens: a block for 16 rows a warp and TOKENS tokens, whose warps share the activations.
#include "copy_async.cuh"
#include "dependency.cuh"
#include "many_tokens.cuh"
#include "matmul_arguments.cuh"

// Levels of a token at one tile, padded so that the rows of a product lie in different banks.
constexpr int LEVEL_STRIDE = 256 + 64;
constexpr int SCALE_STRIDE = 9;

// The activations at one tile, in shared memory.
template <class F, int TOKENS>
struct Stage {
    static constexpr int SUM_STRIDE = Tile<F>::SUM_BYTES + 4;
    uint8_t levels[TOKENS * LEVEL_STRIDE];
    float scales[TOKENS * SCALE_STRIDE];
    uint8_t sums[TOKENS * SUM_STRIDE];

    // Begin to copy tile `tile`; tokens behind the last are copies of it.
    __device__ void fill(const MatmulArguments& a, int first_token, int tile) {
        for (int i = threadIdx.x; i < TOKENS * 16; i += blockDim.x) {
            const int64_t token = min(first_token + i / 16, a.n_tokens - 1);
            const uint8_t* source = a.levels + token * a.level_stride + tile * 256 + i % 16 * 16;
            copy_16_async(levels + i / 16 * LEVEL_STRIDE + i % 16 * 16, source);
        }
        for (int i = threadIdx.x; i < TOKENS * 8; i += blockDim.x) {
            const int64_t token = min(first_token + i / 8, a.n_tokens - 1);
            copy_4_async(scales + i / 8 * SCALE_STRIDE + i % 8, a.scales + token * a.scale_stride + tile * 8 + i % 8);
        }
        constexpr int WORDS = Tile<F>::SUM_BYTES / 4;
        if constexpr (WORDS > 0) {
            for (int i = threadIdx.x; i < TOKENS * WORDS; i += blockDim.x) {
                const int64_t token = min(first_token + i / WORDS, a.n_tokens - 1);
                const uint8_t* source = a.sums + token * a.sum_stride + tile * Tile<F>::SUM_BYTES + i % WORDS * 4;
                copy_4_async(sums + i / WORDS * SUM_STRIDE + i % WORDS * 4, source);
            }
        }
    }
    __device__ ActivationRows rows() const {
        return {levels, scales, sums, LEVEL_STRIDE, SCALE_STRIDE, SUM_STRIDE};
    }
};

template <class F, int TOKENS, int WARPS>
__global__ void __launch_bounds__(32 * WARPS, (TOKENS == 64 && WARPS == 8 ? 8 : 12) / WARPS)
    matmul_many(const MatmulArguments a) {
    extern __shared__ uint4 shared_memory[];
    Stage<F, TOKENS>* stages = reinterpret_cast<Stage<F, TOKENS>*>(shared_memory);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    // A block's weights are read by all blocks of the same rows: these run side by side.
    const int first_token = blockIdx.x * TOKENS;
    const int last = min(TOKENS, a.n_tokens - first_token) - 1;
    const int wanted = static_cast<int>(blockIdx.y) * WARPS + warp;
    const RowTile row_tile = find_row_tile(a, min(wanted, a.n_row_tiles - 1));
    const uint8_t* source =
        a.weights[row_tile.matrix] + static_cast<int64_t>(row_tile.index) * a.n_tiles * Tile<F>::BYTES;
    // The sums of the parts so far, of this warp's rows: in shared memory, for they are touched once a part.
    float* totals = reinterpret_cast<float*>(stages + 2) + warp * 16 * TOKENS + lane;
#pragma unroll
    for (int i = 0; i < TOKENS / 2; ++i) totals[32 * i] = 0;
    release_successor();
    wait_for_predecessor();
    stages[0].fill(a, first_token, 0);
    Tile<F> tile, next;
    next.load(source, lane);
    int index = 0;
    for (int part = 0; part < a.n_parts; ++part) {
        ManyTokens<F, TOKENS / 8> of_part;
        for (const int end = first_of_part(a, part + 1); index < end; ++index) {
            wait_for_copies();
            __syncthreads();
            tile = next;
            source += Tile<F>::BYTES;
            if (index + 1 < a.n_tiles) {
                stages[(index + 1) % 2].fill(a, first_token, index + 1);
                next.load(source, lane);
            }
            of_part.add(tile, stages[index % 2].rows(), last, g, t);
        }
#pragma unroll
        for (int i = 0; i < TOKENS / 2; ++i) totals[32 * i] = __fadd_rn(totals[32 * i], of_part.total[i / 4][i % 4]);
    }
    if (wanted >= a.n_row_tiles) return;
#pragma unroll
    for (int i = 0; i < TOKENS / 2; ++i) {
        const int token = first_token + i / 4 * 8 + 2 * t + i % 2;
        write_product(a, row_tile, g + i % 4 / 2 * 8, token, totals[32 * i]);
    }
}
