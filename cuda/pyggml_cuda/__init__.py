"""CUDA kernels of pyggml and their CuPy launchers. Empty until the CUDA backend lands; never imported without a GPU."""
