"""`pyggml serve` beside llama-server: many clients at once, and what HTTP adds to the engine."""
