"""Where a model's operations run. The only part of pyggml that imports kernels."""
