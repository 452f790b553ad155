"""pyggml beside llama.cpp: the same file, the same threads, in alternating runs."""
