// Queries, keys and values of a picture's patches on their way into attention: turned, as halves, head by head.
#include "dependency.cuh"

struct PatchHeadsArguments {
    const float* sources[3];  // queries, keys, values: (n_patches, n_heads * size)
    const float* biases[3];   // (n_heads * size,) or null: added first
    uint16_t* targets[3];     // (n_heads, n_patches, padded_size), zeros behind a head's own numbers
    const float* angles;      // (n_patches, 2, size / 2): cosines, sines
    int n_heads;
    int size;  // a multiple of 4
    int padded_size;
    int through_bfloats;  // whether numbers are rounded to bfloats first
    float scale;          // what queries are multiplied with
};

// An element of a parameter, which has no address.
template <class T>
__device__ inline T one_of(const T (&three)[3], int which) {
    return which == 0 ? three[0] : which == 1 ? three[1] : three[2];
}

__device__ inline float2 sum(float2 a, float2 b) { return make_float2(a.x + b.x, a.y + b.y); }

__device__ inline float2 rounded(float2 two, int through_bfloats) {
    if (!through_bfloats) return two;
    return make_float2(bfloat_to_float(float_to_bfloat(two.x)), bfloat_to_float(float_to_bfloat(two.y)));
}

__device__ inline uint32_t as_halves(float2 two, float scale) { return pack_halves(two.x * scale, two.y * scale); }

// A patch's queries, keys or values a block. A thread takes two pairs that follow each other; those of a pair are half a
// head apart.
__global__ void __launch_bounds__(128) place_heads(const PatchHeadsArguments a) {
    release_successor();
    wait_for_predecessor();
    const int64_t patch = blockIdx.x;
    const int which = blockIdx.y, n_pairs = a.size / 2, twos = n_pairs / 2;
    const float* source = one_of(a.sources, which) + patch * a.n_heads * a.size;
    const float* bias = one_of(a.biases, which);
    uint16_t* target = one_of(a.targets, which) + patch * a.padded_size;
    const int64_t head_stride = static_cast<int64_t>(gridDim.x) * a.padded_size;
    const float* cosines = a.angles + patch * a.size;
    const float scale = which == 0 ? a.scale : 1.0f;
    for (int i = threadIdx.x; i < a.n_heads * twos; i += 128) {
        const int head = i / twos, pair = i % twos * 2;
        const float* from = source + head * a.size + pair;
        uint16_t* to = target + head * head_stride + pair;
        float2 x = *reinterpret_cast<const float2*>(from), y = *reinterpret_cast<const float2*>(from + n_pairs);
        if (bias) {
            x = sum(x, *reinterpret_cast<const float2*>(bias + head * a.size + pair));
            y = sum(y, *reinterpret_cast<const float2*>(bias + head * a.size + pair + n_pairs));
        }
        float2 first = x, second = y;
        if (which < 2) {
            const float2 c = *reinterpret_cast<const float2*>(cosines + pair);
            const float2 s = *reinterpret_cast<const float2*>(cosines + n_pairs + pair);
            first = make_float2(x.x * c.x - y.x * s.x, x.y * c.y - y.y * s.y);
            second = make_float2(x.x * s.x + y.x * c.x, x.y * s.y + y.y * c.y);
        }
        *reinterpret_cast<uint32_t*>(to) = as_halves(rounded(first, a.through_bfloats), scale);
        *reinterpret_cast<uint32_t*>(to + n_pairs) = as_halves(rounded(second, a.through_bfloats), scale);
    }
    const int behind = (a.padded_size - a.size) / 2;
    for (int i = threadIdx.x; i < a.n_heads * behind; i += 128)
        *reinterpret_cast<uint32_t*>(target + i / behind * head_stride + a.size + i % behind * 2) = 0;
}
