// Softmax over parts of the positions, folded one after the other (arXiv:2205.14135).
//
// A part is the highest score, the sum of the weights relative to it, and values times weights. Decoding computes parts
// in blocks of their own, a prompt's block all of them; both fold with these functions, so both get the same bits.
// Scores are in units of log 2: a weight is two to the score.
#pragma once
#include "types.cuh"

struct SoftmaxState {
    float highest;
    float weight;
};

__device__ inline SoftmaxState no_position() { return {-infinity(), 0}; }

// 2^x by the special function unit, to 2 units in the last place; 0 below the normal numbers.
__device__ inline float two_to_the(float x) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
    return power;
}

// What the sums so far, and those of a part, are to be multiplied with.
struct Shares {
    float before;
    float part;
};

__device__ inline Shares shares(float highest, float of_part) {
    const float top = fmaxf(highest, of_part);
    return {two_to_the(highest - top), two_to_the(of_part - top)};
}

__device__ inline float fold(float before, float part, Shares shares) {
    return __fmaf_rn(before, shares.before, __fmul_rn(part, shares.part));
}
