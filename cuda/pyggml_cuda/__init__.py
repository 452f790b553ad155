"""CUDA kernels of pyggml and their launchers. Only `device` imports CuPy: everything else works without a GPU."""
