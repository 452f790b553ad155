// Matrix products with 1 to 8 tokens: a block for 16 rows, a warp for each part of their columns.
#include "many_tokens.cuh"
#include "matmul_arguments.cuh"
#include "one_token.cuh"

constexpr int MOST_PARTS = 16;

template <class F, class Totals>
__device__ inline void matmul_few_tokens(const MatmulArguments& a) {
    __shared__ float parts[MOST_PARTS][16][8];
    const int part = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const RowTile row_tile = find_row_tile(a, blockIdx.x);
    const int first = first_of_part(a, part), end = first_of_part(a, part + 1);
    const uint8_t* source =
        a.weights[row_tile.matrix] + (static_cast<int64_t>(row_tile.index) * a.n_tiles + first) * Tile<F>::BYTES;
    ActivationRows x = {
        a.levels + first * 256, a.scales + first * 8, a.sums + first * Tile<F>::SUM_BYTES, a.level_stride,
        a.scale_stride, a.sum_stride};
    Totals totals;
    Tile<F> tile, next;
    if (first < end) next.load(source, lane);
    for (int i = first; i < end; ++i) {
        tile = next;
        source += Tile<F>::BYTES;
        if (i + 1 < end) next.load(source, lane);
        totals.add(tile, x, a.n_tokens - 1, g, t);
        x.levels += 256;
        x.scales += 8;
        x.sums += Tile<F>::SUM_BYTES;
    }
    totals.share(parts[part], g, t);
    __syncthreads();
    for (int i = threadIdx.x; i < 16 * Totals::TOKENS; i += blockDim.x) {
        float value = 0;
        for (int p = 0; p < a.n_parts; ++p) value = __fadd_rn(value, parts[p][i % 16][i / 16]);
        write_product(a, row_tile, i % 16, i / 16, value);
    }
}

template <class F, bool ONE>
__global__ void __launch_bounds__(32 * MOST_PARTS) matmul_few(const MatmulArguments a) {
    if constexpr (ONE) matmul_few_tokens<F, OneToken<F>>(a);
    else matmul_few_tokens<F, ManyTokens<F, 1>>(a);
}
