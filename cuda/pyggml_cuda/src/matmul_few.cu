// Matrix products with 1 to 8 tokens: a block for 16 rows, a warp for each part of their columns.
#include "matmul_arguments.cuh"
#include "tile_product.cuh"

// The sums of a part for one token, or for 8.
template <class F, bool ONE>
struct Totals;

template <class F>
struct Totals<F, true> {
    float total[2] = {0, 0};

    __device__ void add(const typename F::Levels& levels, const uint8_t* scales, const ActivationRows& x, int, int g, int t) {
        add_tile_of_one<F>(total, levels, scales, x, g, t);
    }
    __device__ void share(float (*out)[8], int g, int t) const {
        if (t == 0) {
            out[g][0] = total[0];
            out[g + 8][0] = total[1];
        }
    }
};

template <class F>
struct Totals<F, false> {
    float total[1][4] = {{0, 0, 0, 0}};

    __device__ void add(
        const typename F::Levels& levels, const uint8_t* scales, const ActivationRows& x, int last, int g, int t) {
        add_tile<F, 1>(total, levels, scales, x, last, g, t);
    }
    __device__ void share(float (*out)[8], int g, int t) const {
        for (int j = 0; j < 4; ++j) out[g + j / 2 * 8][2 * t + j % 2] = total[0][j];
    }
};

template <class F, bool ONE>
__global__ void __launch_bounds__(256) matmul_few(const MatmulArguments a) {
    __shared__ float parts[8][16][8];
    const int part = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const RowTile row_tile = find_row_tile(a, blockIdx.x);
    const int first = first_of_part(a, part), end = first_of_part(a, part + 1);
    const uint8_t* tile =
        a.weights[row_tile.matrix] + (static_cast<int64_t>(row_tile.index) * a.n_tiles + first) * Tile<F>::BYTES;
    ActivationRows x = {
        a.levels + first * 256, a.scales + first * 8, a.sums + first * Tile<F>::SUM_BYTES, a.level_stride, a.scale_stride,
        a.sum_stride};
    Totals<F, ONE> totals;
    typename F::Levels levels, next;
    if (first < end) next.load(tile, lane);
    for (int i = first; i < end; ++i) {
        levels = next;
        if (i + 1 < end) next.load(tile + Tile<F>::BYTES, lane);
        totals.add(levels, tile + F::Levels::BYTES, x, a.n_tokens - 1, g, t);
        tile += Tile<F>::BYTES;
        x.levels += 256;
        x.scales += 8;
        x.sums += Tile<F>::SUM_BYTES;
    }
    totals.share(parts[part], g, t);
    __syncthreads();
    constexpr int TOKENS = ONE ? 1 : 8;
    for (int i = threadIdx.x; i < 16 * TOKENS; i += blockDim.x) {
        float value = 0;
        for (int p = 0; p < a.n_parts; ++p) value = __fadd_rn(value, parts[p][i % 16][i / 16]);
        write_product(a, row_tile, i % 16, i / 16, value);
    }
}
