"""Pictures: `pyggml run` beside llama-mtmd-cli."""
