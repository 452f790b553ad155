"""The oracles that pyggml is tested against; never shipped.

Most modules bind, through ctypes, the llama.cpp inside the `xllamacpp` wheel; `scalar` is a plain float64
transformer in NumPy. Nothing here imports pyggml.
"""
