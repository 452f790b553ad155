// Blocks as a file has them to tiles as products read them (planes.cuh): a block of 256 threads for a tile.
#include "tile_product.cuh"

struct PackArguments {
    const uint8_t* source;  // (n_rows, n_blocks) blocks
    uint8_t* target;        // (row tiles, tiles) tiles
    int n_rows;
    int n_blocks;  // of a row
    int n_tiles;   // of a row
    int first_row_tile;
};

// A plane of BITS bits: word `index` of a lane holds registers that follow each other. `skip` bits stand above them.
template <int BITS>
__device__ inline uint32_t gather_plane(const uint32_t* registers, int index, int skip) {
    constexpr uint32_t TOP = 0x01010101u * (0xFF00 >> BITS & 0xFF);
    uint32_t word = 0;
    for (int i = 0; i < 8 / BITS; ++i) word |= (registers[(index * (8 / BITS) + i) * 32] << skip & TOP) >> BITS * i;
    return word;
}

template <class F>
__device__ inline void write_scales(const PackArguments& a, uint8_t* scales, int row_tile, int tile) {
    constexpr int BLOCKS = 256 / F::BLOCK_SIZE;
    const uint8_t* zero = nullptr;
    if constexpr (F::Scales::WHOLE) {
        const int row = threadIdx.x;
        if (row >= 16) return;
        const bool there = row_tile * 16 + row < a.n_rows;
        uint8_t zeros[F::BLOCK_BYTES];
        if (!there) {
            for (uint8_t& each : zeros) each = 0;
            zero = zeros;
        }
        const int64_t block = static_cast<int64_t>(row_tile * 16 + row) * a.n_blocks + tile;
        F::Scales::store(scales, row, there ? a.source + block * F::BLOCK_BYTES : zero);
    } else {
        const int row = threadIdx.x / BLOCKS, index = tile * BLOCKS + threadIdx.x % BLOCKS;
        if (row >= 16) return;
        const bool there = row_tile * 16 + row < a.n_rows && index < a.n_blocks;
        const int64_t block = static_cast<int64_t>(row_tile * 16 + row) * a.n_blocks + index;
        for (int i = 0; i < 2; ++i) scales[threadIdx.x * 2 + i] = there ? a.source[block * F::BLOCK_BYTES + i] : 0;
    }
}

template <class F>
__global__ void __launch_bounds__(256) pack(const PackArguments a) {
    using Levels = typename F::Levels;
    // Register r of lane l is word r * 32 + l.
    __shared__ uint32_t registers[32 * 32];
    const int row_tile = a.first_row_tile + blockIdx.y, tile = blockIdx.x;
    for (int i = threadIdx.x; i < 32 * 32; i += 256) {
        const int lane = i % 32, index = i / 32;
        const int row = row_tile * 16 + lane / 4 + 8 * (index % 2);
        const int column = tile * 256 + index / 4 * 32 + index / 2 % 2 * 16 + lane % 4 * 4;
        uint32_t word = 0;
        if (row < a.n_rows && column / F::BLOCK_SIZE < a.n_blocks) {
            const int64_t block = static_cast<int64_t>(row) * a.n_blocks + column / F::BLOCK_SIZE;
            for (int k = 0; k < 4; ++k) {
                const uint32_t level = F::level(a.source + block * F::BLOCK_BYTES, column % F::BLOCK_SIZE + k);
                word |= (level << (8 - Levels::BITS) & 0xFF) << 8 * k;
            }
        }
        registers[i] = word;
    }
    __syncthreads();
    uint8_t* target = a.target + (static_cast<int64_t>(row_tile) * a.n_tiles + tile) * Tile<F>::BYTES;
    uint32_t* words = reinterpret_cast<uint32_t*>(target);
    for (int i = threadIdx.x; i < Levels::BYTES / 4; i += 256) {
        // Four words a lane, then the lanes' next four.
        const int lane = i / 4 % 32, index = i / 128 * 4 + i % 4;
        constexpr int BASE_WORDS = 4 * Levels::BASE;
        if (index < BASE_WORDS) words[i] = gather_plane<Levels::BASE>(registers + lane, index, 0);
        else if constexpr (Levels::EXTRA > 0)
            words[i] = gather_plane<Levels::EXTRA>(registers + lane, index - BASE_WORDS, Levels::BASE);
    }
    write_scales<F>(a, target + Levels::BYTES, row_tile, tile);
}
