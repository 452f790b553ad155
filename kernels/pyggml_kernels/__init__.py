"""Block formats and CPU kernels of pyggml. Knows bytes, blocks and shapes; never files or models."""
