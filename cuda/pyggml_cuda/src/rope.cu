// Rotary position embedding (arXiv:2104.09864): the angles of a step, and queries and keys turned on their way.
#include "cache_formats.cuh"
#include "dependency.cuh"
#include "hadamard.cuh"
#include "paged_cache.cuh"

struct AnglesArguments {
    const int* positions;
    const float* factors;
    float* out;  // (n_tokens, 2, n_pairs): cosines, sines
    int n_pairs;
    float theta_scale;
    float frequency_scale;
    float extrapolation;
    float amplitude;
    float first;  // pair of YaRN's ramp
    float last;
};

// A token a block, a pair a thread. The angle is reached by repeated multiplication, as in pyggml_kernels/rope.py.
__global__ void rope_angles(const AnglesArguments a) {
    release_successor();
    wait_for_predecessor();
    for (int pair = threadIdx.x; pair < a.n_pairs; pair += blockDim.x) {
        float theta = static_cast<float>(a.positions[blockIdx.x]);
        for (int i = 0; i < pair; ++i) theta = __fmul_rn(theta, a.theta_scale);
        const float extrapolated = __fdiv_rn(theta, a.factors[pair]);
        float angle = __fmul_rn(a.frequency_scale, extrapolated);
        if (a.extrapolation != 0) {
            const float ramp = __fdiv_rn(pair - a.first, fmaxf(0.001f, a.last - a.first));
            const float mix = __fmul_rn(1 - fminf(1, fmaxf(0, ramp)), a.extrapolation);
            angle = __fmaf_rn(angle, 1 - mix, __fmul_rn(extrapolated, mix));
        }
        float* out = a.out + static_cast<int64_t>(blockIdx.x) * 2 * a.n_pairs + pair;
        out[0] = __fmul_rn(cosf(angle), a.amplitude);
        out[a.n_pairs] = __fmul_rn(sinf(angle), a.amplitude);
    }
}

struct TurnAndStoreArguments {
    float* queries;       // (n_tokens, n_heads * size), turned in place
    const float* keys;    // (n_tokens, n_kv_heads * size)
    const float* values;  // (n_tokens, n_kv_heads * value_size)
    const float* angles;
    CacheRows key_rows;
    CacheRows value_rows;
    PageTable table;
    int n_heads;
    int n_kv_heads;
    int size;
    int value_size;
    int n_pairs;
    int halves;          // whether pairs are (i, i + n_pairs), else (2 i, 2 i + 1)
    int rotation;        // the length of the rotation of queries and keys, 0 for none
    int value_rotation;  // that of values
};

// A head of queries or keys with its pairs turned.
__device__ inline void turn_row(float* row, const float* source, const TurnAndStoreArguments& a, int token) {
    const float* cosines = a.angles + static_cast<int64_t>(token) * 2 * a.n_pairs;
    const float* sines = cosines + a.n_pairs;
    const int apart = a.halves ? a.n_pairs : 1, step = a.halves ? 1 : 2;
    for (int pair = threadIdx.x; pair < a.n_pairs; pair += blockDim.x) {
        const int i = pair * step, j = i + apart;
        const float x = source[i], y = source[j], c = cosines[pair], s = sines[pair];
        row[i] = __fsub_rn(__fmul_rn(x, c), __fmul_rn(y, s));
        row[j] = __fadd_rn(__fmul_rn(x, s), __fmul_rn(y, c));
    }
    for (int i = 2 * a.n_pairs + threadIdx.x; i < a.size; i += blockDim.x) row[i] = source[i];
}

// Turn a token's queries and keys, and write keys and values into the cache; a token a row of blocks, a block a head of
// queries, keys or values. What its format asks for comes behind: see pyggml_kernels/cache_formats.py.
template <class K, class V>
__global__ void turn_and_store(const TurnAndStoreArguments a) {
    __shared__ float row[256];
    release_successor();
    wait_for_predecessor();
    const int token = blockIdx.y, kv_head = (static_cast<int>(blockIdx.x) - a.n_heads) % a.n_kv_heads;
    const int page_size = a.key_rows.page_size, position = a.table.positions[token];
    const int page = a.table.of_token(token)[position / page_size], slot = position % page_size;
    if (blockIdx.x < a.n_heads) {
        float* query = a.queries + (static_cast<int64_t>(token) * a.n_heads + blockIdx.x) * a.size;
        turn_row(row, query, a, token);
        rotate_row(row, a.size, a.rotation);
        __syncthreads();
        K::round_row(query, row, a.size);
    } else if (blockIdx.x < a.n_heads + a.n_kv_heads) {
        turn_row(row, a.keys + (static_cast<int64_t>(token) * a.n_kv_heads + kv_head) * a.size, a, token);
        rotate_row(row, a.size, a.rotation);
        __syncthreads();
        K::store_row(a.key_rows.row(page, slot, kv_head), row, a.size);
    } else {
        const float* value = a.values + (static_cast<int64_t>(token) * a.n_kv_heads + kv_head) * a.value_size;
        for (int i = threadIdx.x; i < a.value_size; i += blockDim.x) row[i] = value[i];
        rotate_row(row, a.value_size, a.value_rotation);
        __syncthreads();
        V::store_row(a.value_rows.row(page, slot, kv_head), row, a.value_size);
    }
}
