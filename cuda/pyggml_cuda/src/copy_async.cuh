// Copies from device memory to shared memory that go on while the warp computes (compute capability 8.0; below, at once).
#pragma once
#include "types.cuh"

// 16 bytes; both addresses are multiples of 16.
__device__ inline void copy_16_async(void* shared, const void* source) {
#if __CUDA_ARCH__ >= 800
    const uint32_t target = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(target), "l"(source) : "memory");
#else
    *static_cast<uint4*>(shared) = load_16(source);
#endif
}

// 4 bytes.
__device__ inline void copy_4_async(void* shared, const void* source) {
#if __CUDA_ARCH__ >= 800
    const uint32_t target = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(target), "l"(source) : "memory");
#else
    *static_cast<uint32_t*>(shared) = __ldg(static_cast<const uint32_t*>(source));
#endif
}

// What this thread copied is there.
__device__ inline void wait_for_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// The copies that this thread began since the last group are a group.
__device__ inline void end_group_of_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// What this thread copied is there, but for the last N groups.
template <int N>
__device__ inline void wait_for_groups_but() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}
