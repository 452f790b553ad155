// Keys and values on their way into shared memory: tiles of 64 positions, in a ring of buffers.
#pragma once
#include "cache_formats.cuh"
#include "paged_cache.cuh"

constexpr int POSITIONS = 64;       // in a tile
constexpr int SPLIT_SIZE = 256;     // positions in a split
constexpr int PADDING = 8;          // halves behind each row of a tile, so that a column's rows lie in different banks
constexpr int WINDOW = 2 * SPLIT_SIZE;  // positions whose places are known

// Where a position's rows lie; page is -1 behind the last position.
struct Place {
    int page;
    int slot;
};

// A buffer's rows are halves; for formats that need them, the halves that are missing to the numbers follow behind all rows.
template <class Format, int SIZE>
constexpr int TILE_HALVES = POSITIONS * (SIZE + PADDING) * (Format::HAS_LOW ? 2 : 1);

template <class Format, int SIZE, int THREADS>
__device__ inline void copy_tile(uint16_t* tile, const CacheRows& rows, const Place* places, int head) {
    constexpr int EIGHTS = SIZE / 8;
    constexpr int LOW = POSITIONS * (SIZE + PADDING);
#pragma unroll
    for (int i = threadIdx.x; i < POSITIONS * EIGHTS; i += THREADS) {
        const int row = i / EIGHTS, column = i % EIGHTS * 8;
        uint16_t* target = tile + row * (SIZE + PADDING) + column;
        const Place place = places[row];
        if (place.page >= 0) {
            Format::template copy_8<SIZE>(target, target + LOW, rows, place.page, place.slot, head, column);
        } else {
            *reinterpret_cast<uint4*>(target) = make_uint4(0, 0, 0, 0);
            if constexpr (Format::HAS_LOW) *reinterpret_cast<uint4*>(target + LOW) = make_uint4(0, 0, 0, 0);
        }
    }
}

// The keys of a block's first tile, its values, the keys of the second, and so on; BUFFERS of them at a time.
template <class K, class V, int SIZE, int VALUE_SIZE, int THREADS, int BUFFERS>
struct TileRing {
    static constexpr int KEY_HALVES = TILE_HALVES<K, SIZE>, VALUE_HALVES = TILE_HALVES<V, VALUE_SIZE>;
    static constexpr int BUFFER_HALVES = KEY_HALVES > VALUE_HALVES ? KEY_HALVES : VALUE_HALVES;
    // Places are looked up for a split ahead of the one that is computed with.
    static_assert(BUFFERS <= 2 * SPLIT_SIZE / POSITIONS);

    const CacheRows& keys;
    const CacheRows& values;
    const Place* places;  // of the positions from the block's first on, modulo WINDOW
    uint16_t* buffers;
    int head;
    int n_items;  // two a tile
    int n_begun = 0;
    int next_begun = 0;  // buffers
    int next_taken = 0;

    // Begin to copy the next item, if there is one more.
    __device__ void begin() {
        if (n_begun < n_items) {
            uint16_t* buffer = buffers + next_begun * BUFFER_HALVES;
            const Place* own = places + n_begun / 2 * POSITIONS % WINDOW;
            if (n_begun % 2 == 0) copy_tile<K, SIZE, THREADS>(buffer, keys, own, head);
            else copy_tile<V, VALUE_SIZE, THREADS>(buffer, values, own, head);
        }
        end_group_of_copies();
        ++n_begun;
        next_begun = next_begun + 1 == BUFFERS ? 0 : next_begun + 1;
    }

    // The next item, once it is there; the one before is done with. All threads have to come.
    __device__ const uint16_t* take() {
        if constexpr (BUFFERS == 1) {
            __syncthreads();
            begin();
            wait_for_groups_but<0>();
            __syncthreads();
        } else {
            wait_for_groups_but<BUFFERS - 2>();
            __syncthreads();
            begin();
        }
        const uint16_t* buffer = buffers + next_taken * BUFFER_HALVES;
        next_taken = next_taken + 1 == BUFFERS ? 0 : next_taken + 1;
        return buffer;
    }
};
