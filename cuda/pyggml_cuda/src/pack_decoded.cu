// Levels, scales and minimums in rows to tiles of bytes and floats (formats/decoded.cuh): a block of 256 threads for a
// tile. So come the formats whose blocks pack.cu cannot read: decoded already.
#include "formats/decoded.cuh"

struct DecodedArguments {
    const uint8_t* levels;  // (n_rows, n_columns)
    const float* scales;    // (n_rows, groups)
    const float* minimums;  // (n_rows, groups), if there are any
    uint8_t* target;        // (row tiles, tiles) tiles
    int n_rows;
    int n_columns;
    int n_tiles;  // of a row
};

template <int GROUP, bool MINIMUM>
__global__ void __launch_bounds__(256) pack_decoded(const DecodedArguments a) {
    using Levels = typename Decoded<GROUP, MINIMUM>::Levels;
    using Scales = typename Decoded<GROUP, MINIMUM>::Scales;
    const int row_tile = blockIdx.y, tile = blockIdx.x;
    uint8_t* target =
        a.target + (static_cast<int64_t>(row_tile) * a.n_tiles + tile) * (Levels::BYTES + Scales::BYTES);
    uint32_t* words = reinterpret_cast<uint32_t*>(target);
    for (int i = threadIdx.x; i < Levels::BYTES / 4; i += 256) {
        // Four words a lane, then the lanes' next four.
        const int lane = i / 4 % 32, index = i / 128 * 4 + i % 4;
        const int row = row_tile * 16 + lane / 4 + 8 * (index % 2);
        const int column = tile * 256 + index / 4 * 32 + index / 2 % 2 * 16 + lane % 4 * 4;
        const uint8_t* levels = a.levels + static_cast<int64_t>(row) * a.n_columns + column;
        words[i] = row < a.n_rows && column < a.n_columns ? *reinterpret_cast<const uint32_t*>(levels) : 0;
    }
    float* floats = reinterpret_cast<float*>(target + Levels::BYTES);
    const int n_groups = a.n_columns / GROUP;
    for (int i = threadIdx.x; i < 16 * Scales::GROUPS; i += 256) {
        const int row = row_tile * 16 + i / Scales::GROUPS, group = tile * Scales::GROUPS + i % Scales::GROUPS;
        const bool there = row < a.n_rows && group < n_groups;
        const int64_t from = static_cast<int64_t>(row) * n_groups + group;
        floats[i] = there ? a.scales[from] : 0;
        if constexpr (MINIMUM) floats[16 * Scales::GROUPS + i] = there ? a.minimums[from] : 0;
    }
}
