"""Checks and times of the CUDA backend, on a machine with a GPU."""
