// Copies to shared memory that the copy engine makes, and barriers that count them (compute capability 9.0).
#pragma once
#include "warpgroup.cuh"

#if PYGGML_WARPGROUPS
using Barrier = unsigned long long;

// `n` arrivals end a phase.
__device__ inline void begin_barrier(Barrier* barrier, int n) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(n) : "memory");
}

// Barriers that this thread began are seen by the copy engine.
__device__ inline void show_barriers() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

__device__ inline void arrive(Barrier* barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

// Arrive, and let the phase wait for so many bytes.
__device__ inline void expect_bytes(Barrier* barrier, uint32_t n_bytes) {
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(n_bytes)
        : "memory");
}

// The phase of this parity is over.
__device__ inline void wait_for_phase(Barrier* barrier, uint32_t parity) {
    asm volatile(
        "{ .reg .pred p;\n"
        "again: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
        "@!p bra again; }\n" ::"r"(shared_address(barrier)),
        "r"(parity)
        : "memory");
}

// Begin to copy bytes that the barrier counts; addresses and numbers are multiples of 16.
__device__ inline void copy_bulk(void* target, const void* source, uint32_t n_bytes, Barrier* barrier) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
            shared_address(target)),
        "l"(source), "r"(n_bytes), "r"(shared_address(barrier))
        : "memory");
}
#endif
