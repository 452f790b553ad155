"""Weights arranged for vector instructions, 16 rows at a time, and their products."""
