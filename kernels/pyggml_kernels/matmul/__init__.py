"""Matrix products: out[token, row] = sum over columns of weights[row, column] * x[token, column], plus a bias.

Three kinds of weights, one file each: `packed` in tiles, made when they are loaded; `levels` in blocks of any
`LevelFormat`, arranged as a tile when they are needed; `values`, floats in tiles or in any `FloatFormat`. A chunk is a
few tiles of 16 rows. What a row and a token give depends on nothing else: neither on the batch around them nor on the
chunk.
"""
