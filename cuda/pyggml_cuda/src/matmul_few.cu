// Matrix products with 1 to 16 tokens: a block for 16 rows, whose warps share the parts of their columns.
#include "dependency.cuh"
#include "many_tokens.cuh"
#include "matmul_arguments.cuh"
#include "one_token.cuh"

constexpr int MOST_PARTS = 16;

// The sums of one part of 16 rows.
template <class F, class Totals>
__device__ inline void add_part(
    const MatmulArguments& a, RowTile row_tile, int part, float (*out)[Totals::TOKENS], bool is_first) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int first = first_of_part(a, part), end = first_of_part(a, part + 1);
    const uint8_t* source =
        a.weights[row_tile.matrix] + (static_cast<int64_t>(row_tile.index) * a.n_tiles + first) * Tile<F>::BYTES;
    ActivationRows x = {
        a.levels + first * 256, a.scales + first * 8, a.sums + first * Tile<F>::SUM_BYTES, a.level_stride,
        a.scale_stride, a.sum_stride};
    Totals totals;
    Tile<F> tile, next;
    if (first < end) next.load(source, lane);
    if (is_first) wait_for_predecessor();
    for (int i = first; i < end; ++i) {
        tile = next;
        source += Tile<F>::BYTES;
        if (i + 1 < end) next.load(source, lane);
        totals.add(tile, x, a.n_tokens - 1, g, t);
        x.levels += 256;
        x.scales += 8;
        x.sums += Tile<F>::SUM_BYTES;
    }
    totals.share(out, g, t);
}

template <class F, class Totals>
__device__ inline void matmul_few_tokens(const MatmulArguments& a) {
    __shared__ float parts[MOST_PARTS][16][Totals::TOKENS];
    release_successor();
    const RowTile row_tile = find_row_tile(a, blockIdx.x);
    const int warp = threadIdx.x / 32, n_warps = blockDim.x / 32;
    for (int part = warp; part < a.n_parts; part += n_warps)
        add_part<F, Totals>(a, row_tile, part, parts[part], part == warp);
    __syncthreads();
    for (int i = threadIdx.x; i < 16 * Totals::TOKENS; i += blockDim.x) {
        float value = 0;
        for (int part = 0; part < a.n_parts; ++part) value = __fadd_rn(value, parts[part][i % 16][i / 16]);
        write_product(a, row_tile, i % 16, i / 16, value);
    }
}

// For 1, 8 or 16 tokens at most.
template <class F, int TOKENS>
__global__ void __launch_bounds__(TOKENS <= 8 ? 512 : 256) matmul_few(const MatmulArguments a) {
    if constexpr (TOKENS == 1) matmul_few_tokens<F, OneToken<F>>(a);
    else matmul_few_tokens<F, ManyTokens<F, TOKENS / 8>>(a);
}
