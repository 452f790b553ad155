"""The HTTP server: llama-server's API, and those of OpenAI and Anthropic, as clients of the engine's scheduler.

Needs the extra `server`: pip install "pyggml[server]".
"""
