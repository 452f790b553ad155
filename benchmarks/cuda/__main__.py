"""Everything there is to measure of the CUDA backend: exactness of the kernels, their speeds, whole models, split ones,
vision towers.

python -m benchmarks.cuda    # on a machine with a GPU; a few minutes
"""

import sys

from benchmarks.cuda import attention, kernels, models, offload, times, towers

if __name__ == "__main__":
    kernels.check_all()
    times.main()
    attention.main()
    models.main([])
    offload.main([])
    towers.main([])
    sys.exit(bool(kernels.failures))
