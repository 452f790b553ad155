"""`python -m pyggml`: the program `pyggml`."""

from pyggml.cli.main import main

if __name__ == "__main__":
    main()
