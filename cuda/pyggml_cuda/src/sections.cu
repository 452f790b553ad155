// Angles of rotary embedding in which each section of the pairs turns by a position of its own (arXiv:2409.12191).
#include "dependency.cuh"

constexpr int MAX_SECTIONS = 4;

struct SectionArguments {
    const int* positions;  // (n_tokens, n_sections)
    float* out;            // (n_tokens, 2, n_pairs): cosines, sines
    int n_pairs;
    int n_sections;
    float theta_scale;
    float frequency_scale;
    int sections[MAX_SECTIONS][3];  // the first pair, the end, and the pair whose angle is the position itself
};

// A token a block, a pair a thread. The angle is reached by repeated multiplication, as in pyggml_kernels/section_rope.py.
__global__ void section_angles(const SectionArguments a) {
    release_successor();
    wait_for_predecessor();
    for (int section = 0; section < a.n_sections; ++section) {
        const int first = a.sections[section][0], end = a.sections[section][1], origin = a.sections[section][2];
        for (int pair = first + threadIdx.x; pair < end; pair += blockDim.x) {
            float theta = static_cast<float>(a.positions[blockIdx.x * a.n_sections + section]);
            for (int i = origin; i < pair; ++i) theta = __fmul_rn(theta, a.theta_scale);
            const float angle = __fmul_rn(a.frequency_scale, theta);
            float* out = a.out + static_cast<int64_t>(blockIdx.x) * 2 * a.n_pairs + pair;
            out[0] = cosf(angle);
            out[a.n_pairs] = sinf(angle);
        }
    }
}
