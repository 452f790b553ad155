// Kernels that follow each other overlap: one begins before the one in front of it is over (compute capability 9.0).
#pragma once
#include "types.cuh"

// The next kernel may begin, up to where it waits.
__device__ inline void release_successor() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// All that the kernels before have written is there. Before this only weights may be read, and nothing written.
__device__ inline void wait_for_predecessor() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
