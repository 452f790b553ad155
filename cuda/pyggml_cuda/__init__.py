"""CUDA kernels of pyggml and their launchers. Only `device` and `cache_store` import CuPy."""
