// The largest numbers of each row, from the largest down, and where they stand; equal ones in the order of their places.
//
// A row is cut into groups of 32 numbers. The n largest numbers lie in the n groups whose own largest are largest, so
// that one block sees all it needs of a row in the maxima of all groups and the numbers of a few.
#include "dependency.cuh"

constexpr int GROUP = 32, WARP_GROUPS = 4, N_THREADS = 1024, MAX_KEPT = 256;
// What equal keys are told apart by: numbers of 18 bits, for rows of 2^18 numbers at most.
constexpr int PLACE_BITS = 18;
constexpr int MAX_GROUPS = (1 << PLACE_BITS) / GROUP, THREAD_GROUPS = MAX_GROUPS / N_THREADS;

using Entry = unsigned long long;

// Whole numbers above 0 in the order of the floats; NaN is above all numbers, -0 below 0.
__device__ inline uint32_t key_of(float x) {
    const uint32_t bits = __float_as_uint(x);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return 0xFFFFFFFFu;
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

// Larger keys are larger entries, and of equal keys the one that stands first.
__device__ inline Entry entry_of(uint32_t key, int place) {
    return static_cast<Entry>(key) << PLACE_BITS | ((1 << PLACE_BITS) - 1 - place);
}

__device__ inline int place_of(Entry entry) { return (1 << PLACE_BITS) - 1 - static_cast<int>(entry & ((1 << PLACE_BITS) - 1)); }

__device__ inline uint32_t largest_of_warp(uint32_t key) {
#if __CUDA_ARCH__ >= 800
    return __reduce_max_sync(ALL_LANES, key);
#else
    for (int distance = 16; distance; distance /= 2) key = max(key, __shfl_xor_sync(ALL_LANES, key, distance));
    return key;
#endif
}

__device__ inline int sum_of_warp(int n) {
#if __CUDA_ARCH__ >= 800
    return __reduce_add_sync(ALL_LANES, n);
#else
    for (int distance = 16; distance; distance /= 2) n += __shfl_xor_sync(ALL_LANES, n, distance);
    return n;
#endif
}

// The largest key of each group of x (n_rows, n_columns), (n_rows, n_groups); four groups a warp, a row in y.
__global__ void __launch_bounds__(256) group_maxima(const float* x, uint32_t* maxima, int n_columns, int n_groups) {
    release_successor();
    wait_for_predecessor();
    const int first = (blockIdx.x * 8 + threadIdx.x / 32) * WARP_GROUPS, lane = threadIdx.x % 32;
    const float* row = x + static_cast<int64_t>(blockIdx.y) * n_columns;
    uint32_t keys[WARP_GROUPS];
    for (int i = 0; i < WARP_GROUPS; ++i) {
        const int column = (first + i) * GROUP + lane;
        keys[i] = column < n_columns ? key_of(row[column]) : 0;
    }
    for (int i = 0; i < WARP_GROUPS; ++i) {
        const uint32_t key = largest_of_warp(keys[i]);
        if (lane == i && first + i < n_groups) maxima[static_cast<int64_t>(blockIdx.y) * n_groups + first + i] = key;
    }
}

// The n-th largest of the entries of all threads, found bit by bit; `counts` are 50 zeros.
__device__ inline Entry nth_largest(const Entry (&entries)[THREAD_GROUPS], int n, int* counts) {
    Entry bound = 0;
    for (int bit = 31 + PLACE_BITS; bit >= 0; --bit) {
        const Entry higher = bound | static_cast<Entry>(1) << bit;
        int count = 0;
        for (int i = 0; i < THREAD_GROUPS; ++i) count += entries[i] >= higher;
        count = sum_of_warp(count);
        if (threadIdx.x % 32 == 0 && count) atomicAdd(&counts[bit], count);
        __syncthreads();
        count = counts[bit];
        if (count >= n) bound = higher;
        if (count == n) break;
    }
    return bound;
}

// Appends one item of some lanes of a warp to a list.
template <class Item>
__device__ inline void append(Item* list, int* length, bool is_wanted, Item item) {
    const unsigned wanted = __ballot_sync(ALL_LANES, is_wanted);
    if (!wanted) return;
    const int lane = threadIdx.x % 32;
    int first = 0;
    if (!lane) first = atomicAdd(length, __popc(wanted));
    first = __shfl_sync(ALL_LANES, first, 0);
    if (is_wanted) list[first + __popc(wanted & ((1u << lane) - 1))] = item;
}

// values and places (n_rows, n_kept) of the n_kept largest; a block a row. 1 <= n_kept <= MAX_KEPT, n_columns at least.
__global__ void __launch_bounds__(N_THREADS)
largest(const float* x, const uint32_t* maxima, float* values, int* places, int n_columns, int n_groups, int n_kept) {
    extern __shared__ Entry candidates[];  // MAX_KEPT * GROUP
    __shared__ int counts[32 + PLACE_BITS], chosen[MAX_KEPT], n_chosen, n_candidates;
    release_successor();
    if (threadIdx.x < 32 + PLACE_BITS) counts[threadIdx.x] = 0;
    if (!threadIdx.x) n_chosen = n_candidates = 0;
    wait_for_predecessor();
    const float* row = x + static_cast<int64_t>(blockIdx.x) * n_columns;
    const uint32_t* row_maxima = maxima + static_cast<int64_t>(blockIdx.x) * n_groups;
    Entry groups[THREAD_GROUPS];
    for (int i = 0; i < THREAD_GROUPS; ++i) {
        const int group = i * N_THREADS + threadIdx.x;
        groups[i] = group < n_groups ? entry_of(row_maxima[group], group) : 0;
    }
    __syncthreads();
    const Entry bound = nth_largest(groups, n_kept, counts);
    for (int i = 0; i < THREAD_GROUPS; ++i) {
        const bool is_wanted = groups[i] && groups[i] >= bound;
        append(chosen, &n_chosen, is_wanted, i * N_THREADS + static_cast<int>(threadIdx.x));
    }
    __syncthreads();
    const uint32_t least = static_cast<uint32_t>(bound >> PLACE_BITS);
    for (int i = threadIdx.x / 32; i < n_chosen; i += N_THREADS / 32) {
        const int column = chosen[i] * GROUP + threadIdx.x % 32;
        const uint32_t key = column < n_columns ? key_of(row[column]) : 0;
        append(candidates, &n_candidates, key && key >= least, entry_of(key, column));
    }
    __syncthreads();
    // They are a few more than are kept, unless what is large stands together: each counts those above it.
    for (int i = threadIdx.x; i < n_candidates; i += N_THREADS) {
        const Entry own = candidates[i];
        int rank = 0;
        for (int other = 0; other < n_candidates; ++other) rank += candidates[other] > own;
        if (rank >= n_kept) continue;
        const int64_t target = static_cast<int64_t>(blockIdx.x) * n_kept + rank;
        values[target] = row[place_of(own)];
        places[target] = place_of(own);
    }
}
