// Attention's result where there are many splits, in the form that a product wants: 256 columns a block, one a thread.
//
// The numbers are those of the source `Splits`, rotated back if values are rotated in the cache. The sums of many splits
// are on their way at once, while warps find what each is to be multiplied with.
#include "dependency.cuh"
#include "forms.cuh"
#include "hadamard.cuh"
#include "sources.cuh"

constexpr int COLUMNS = 256;
constexpr int AT_ONCE = 64;
constexpr int LEAST_VALUE_SIZE = 16;
constexpr int WARPS = COLUMNS / 32;

// What a split's sums are to be multiplied with, and its sum of weights.
struct SplitShares {
    Shares shares;
    float weight;
};

// The shares of up to AT_ONCE splits of a head; `highest` is the highest score before them, and then with them. For a warp.
__device__ inline void find_shares(SplitShares (&found)[AT_ONCE], const float2* states, int n, float& highest) {
    const int lane = threadIdx.x % 32;
    float2 parts[AT_ONCE / 32];
#pragma unroll
    for (int round = 0; round < AT_ONCE / 32; ++round) {
        const int i = round * 32 + lane;
        parts[round] = i < n ? states[i] : make_float2(-infinity(), 0);
    }
#pragma unroll
    for (int round = 0; round < AT_ONCE / 32; ++round) {
        float so_far = parts[round].x;
#pragma unroll
        for (int apart = 1; apart < 32; apart *= 2) {
            const float other = __shfl_up_sync(ALL_LANES, so_far, apart);
            if (lane >= apart) so_far = fmaxf(so_far, other);
        }
        const float others = __shfl_up_sync(ALL_LANES, so_far, 1);
        const float before = lane == 0 ? highest : fmaxf(highest, others);
        found[round * 32 + lane] = {shares(before, parts[round].x), parts[round].y};
        highest = fmaxf(highest, __shfl_sync(ALL_LANES, so_far, 31));
    }
}

template <class Form>
__global__ void __launch_bounds__(COLUMNS) merge(const SourceArguments a, const FormArguments form) {
    constexpr int HEADS = COLUMNS / LEAST_VALUE_SIZE + 1;
    __shared__ SplitShares found[HEADS][AT_ONCE];
    alignas(16) __shared__ float row[COLUMNS];
    release_successor();
    wait_for_predecessor();
    const Splits splits(a, blockIdx.y);
    const int first_column = blockIdx.x * COLUMNS, column = first_column + threadIdx.x, warp = threadIdx.x / 32;
    const int n_columns = min(COLUMNS, a.n_columns - first_column), first_head = first_column / a.value_size;
    const int n_heads = (first_column + n_columns - 1) / a.value_size - first_head + 1;
    const bool inside = threadIdx.x < n_columns;
    const int head = inside ? column / a.value_size : first_head;
    const float* sums = splits.head_sums(head) + column % a.value_size;
    float highest[(HEADS + WARPS - 1) / WARPS], weight = 0, value = 0;
#pragma unroll
    for (float& each : highest) each = -infinity();
    for (int first = 0; first < splits.n_used; first += AT_ONCE) {
        const int n = min(AT_ONCE, splits.n_used - first);
        float parts[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i)
            parts[i] = inside && i < n ? sums[static_cast<int64_t>(first + i) * a.value_size] : 0;
        __syncthreads();
#pragma unroll
        for (int i = 0; i < (HEADS + WARPS - 1) / WARPS; ++i) {
            const int own = warp + i * WARPS;
            if (own < n_heads) find_shares(found[own], splits.head_states(first_head + own) + first, n, highest[i]);
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i) {
            if (i >= n) break;
            const SplitShares& share = found[head - first_head][i];
            value = fold(value, parts[i], share.shares);
            weight = fold(weight, share.weight, share.shares);
        }
    }
    row[threadIdx.x] = inside ? value / weight : 0;
    rotate_row(row, n_columns, a.rotation);
    __syncthreads();
    if (warp > 0) return;
    float values[8];
    load_8(row + threadIdx.x * 8, values);
    if (threadIdx.x * 8 < n_columns || Form::PADDED) Form::store(form, blockIdx.y, first_column + threadIdx.x * 8, values);
}
