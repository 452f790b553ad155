// Keys and values on their way to the tensor cores: tiles of 64 positions, in a ring of buffers in shared memory.
#pragma once
#include "cache_formats.cuh"
#include "copy_async.cuh"
#include "paged_cache.cuh"

constexpr int POSITIONS = 64;           // in a tile
constexpr int SPLIT_SIZE = 256;         // positions in a split
constexpr int WINDOW = 2 * SPLIT_SIZE;  // positions whose places are known
constexpr int PADDING = 8;              // halves behind each row of a tile, so that a column's rows lie in different banks

// Where a position's rows lie; page is -1 behind the last position.
struct Place {
    int page;
    int slot;
};

// A tile's rows as halves; of formats with more than these the rest, as halves too, behind all rows.
template <class Format, int SIZE>
constexpr int TILE_BYTES = 2 * POSITIONS * (SIZE + PADDING) * (Format::HAS_LOW ? 2 : 1);

// A tile as it is copied.
template <class Format, int SIZE>
constexpr int COPY_BYTES = Format::DECODED ? POSITIONS * Format::template ROW_BYTES<SIZE> : TILE_BYTES<Format, SIZE>;

// Begin to copy a tile. Rows that are no whole number of 16 bytes are copied eight at a time: a page's slots are a multiple of 8.
template <class Format, int SIZE, int THREADS>
__device__ inline void copy_tile(uint8_t* copy, const CacheRows& rows, const Place* places, int head) {
    constexpr int ROW_BYTES = Format::template ROW_BYTES<SIZE>, STRIDE = COPY_BYTES<Format, SIZE> / POSITIONS;
    constexpr int AT_ONCE = ROW_BYTES % 16 == 0 ? 1 : 8, PIECES = AT_ONCE * ROW_BYTES / 16;
#pragma unroll
    for (int i = threadIdx.x; i < POSITIONS / AT_ONCE * PIECES; i += THREADS) {
        const int row = i / PIECES * AT_ONCE, offset = i % PIECES * 16;
        const Place place = places[row];
        uint8_t* target = copy + row * STRIDE + offset;
        if (place.page >= 0) copy_16_async(target, rows.row(place.page, place.slot, head) + offset);
        else if (!Format::DECODED) *reinterpret_cast<uint4*>(target) = make_uint4(0, 0, 0, 0);
    }
}

// Make a tile of its copy.
template <class Format, int SIZE, int THREADS>
__device__ inline void decode_tile(uint16_t* tile, const uint8_t* copy, const Place* places) {
    constexpr int EIGHTS = SIZE / 8, LOW = POSITIONS * (SIZE + PADDING);
#pragma unroll 2
    for (int i = threadIdx.x; i < POSITIONS * EIGHTS; i += THREADS) {
        const int row = i / EIGHTS, column = i % EIGHTS * 8;
        float x[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        if (places[row].page >= 0) Format::load_8(copy + row * Format::template ROW_BYTES<SIZE>, column, x);
        uint32_t high[4], low[4];
#pragma unroll
        for (int pair = 0; pair < 4; ++pair) {
            high[pair] = pack_halves(x[2 * pair], x[2 * pair + 1]);
            low[pair] = pack_rest(x[2 * pair], x[2 * pair + 1], high[pair]);
        }
        uint16_t* target = tile + row * (SIZE + PADDING) + column;
        *reinterpret_cast<uint4*>(target) = make_uint4(high[0], high[1], high[2], high[3]);
        if (Format::HAS_LOW) *reinterpret_cast<uint4*>(target + LOW) = make_uint4(low[0], low[1], low[2], low[3]);
    }
}

// The keys of a block's first tile, its values, the keys of the second, and so on; BUFFERS of them are being copied or
// computed with at a time. What has to be decoded is so for one of them, in a place behind all buffers.
template <class K, class V, int SIZE, int VALUE_SIZE, int THREADS, int BUFFERS>
struct TileRing {
    static constexpr int KEY_BYTES = COPY_BYTES<K, SIZE>, VALUE_BYTES = COPY_BYTES<V, VALUE_SIZE>;
    static constexpr int BUFFER_BYTES = KEY_BYTES > VALUE_BYTES ? KEY_BYTES : VALUE_BYTES;
    static constexpr int KEY_TILE_BYTES = K::DECODED ? TILE_BYTES<K, SIZE> : 0;
    static constexpr int VALUE_TILE_BYTES = V::DECODED ? TILE_BYTES<V, VALUE_SIZE> : 0;
    static constexpr int DECODED_BYTES = KEY_TILE_BYTES > VALUE_TILE_BYTES ? KEY_TILE_BYTES : VALUE_TILE_BYTES;
    static constexpr int BYTES = BUFFERS * BUFFER_BYTES + DECODED_BYTES;
    // Places are looked up for a split ahead of the one that is computed with.
    static_assert(BUFFERS <= 2 * SPLIT_SIZE / POSITIONS);

    const CacheRows& keys;
    const CacheRows& values;
    const Place* places;  // of the positions from the block's first on, modulo WINDOW
    uint8_t* memory;
    int head;
    int n_items;  // two a tile
    int n_begun = 0;
    int n_taken = 0;
    int next_begun = 0;  // buffers
    int next_taken = 0;

    // Begin to copy the next item, if there is one more.
    __device__ void begin() {
        if (n_begun < n_items) {
            uint8_t* buffer = memory + next_begun * BUFFER_BYTES;
            if (n_begun % 2 == 0) copy_tile<K, SIZE, THREADS>(buffer, keys, of_item(n_begun), head);
            else copy_tile<V, VALUE_SIZE, THREADS>(buffer, values, of_item(n_begun), head);
        }
        end_group_of_copies();
        ++n_begun;
        next_begun = next_begun + 1 == BUFFERS ? 0 : next_begun + 1;
    }

    // The next item, once it is there; the one before is done with. All threads have to come.
    __device__ const uint16_t* take_keys() { return take<K, SIZE>(); }
    __device__ const uint16_t* take_values() { return take<V, VALUE_SIZE>(); }

private:
    __device__ const Place* of_item(int item) const { return places + item / 2 * POSITIONS % WINDOW; }

    template <class Format, int COLUMNS>
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
        const uint8_t* buffer = memory + next_taken * BUFFER_BYTES;
        next_taken = next_taken + 1 == BUFFERS ? 0 : next_taken + 1;
        const int item = n_taken++;
        if constexpr (Format::DECODED) {
            uint16_t* tile = reinterpret_cast<uint16_t*>(memory + BUFFERS * BUFFER_BYTES);
            decode_tile<Format, COLUMNS, THREADS>(tile, buffer, of_item(item));
            __syncthreads();
            return tile;
        } else {
            return reinterpret_cast<const uint16_t*>(buffer);
        }
    }
};
