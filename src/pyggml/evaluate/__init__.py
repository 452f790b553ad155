"""Measuring models on texts: perplexity, divergence from a base model, and the importance of weights."""
