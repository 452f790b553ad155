"""How the demo models inside the package were made: data, tokenizer and training."""
