"""Moving keys and values to earlier positions, when a full context lets go of its oldest tokens."""

from pyggml_kernels.calls import call_convert, call_operation
from pyggml_kernels.jit import kernel
from pyggml_kernels.memory import i32, i64, u8

N_ARGUMENTS = 19


@kernel
def shift_rows(arguments: int, chunk: int, worker: int) -> None:
    """Move `n` rows of one key/value head from position `source` down to `target`; ascending: they may overlap.

    Keys are turned by the distance. Arguments: 0 keys of the layer, 1 bytes of a row of keys, 2 load, 3 store,
    4 values of the layer, 5 bytes of a row of values, 6 page table of the sequence i32, 7 page_size, 8 bytes from one
    page of keys to the next, 9 source, 10 target, 11 n, 12 row of floats for scratch, 13 key size, 14 `rope_rotate` or
    0, 15 its arguments (one head, at the scratch row), 16 `hadamard` or 0, 17 its arguments, 18 bytes from one page of
    values to the next. A chunk is a key/value head.
    """
    a = i64(arguments, N_ARGUMENTS)
    page_size = a[7]
    keys, values = a[0] + chunk * page_size * a[1], a[4] + chunk * page_size * a[5]
    for i in range(a[11]):
        old, new = a[9] + i, a[10] + i
        old_page = i32(a[6] + old // page_size * 4, 1)[0]
        new_page = i32(a[6] + new // page_size * 4, 1)[0]
        call_convert(a[2], keys + old_page * a[8] + old % page_size * a[1], a[13], a[12])
        if a[16]:
            call_operation(a[16], a[17], 0, worker)
        if a[14]:
            call_operation(a[14], a[15], 0, worker)
        if a[16]:
            call_operation(a[16], a[17], 0, worker)
        call_convert(a[3], a[12], a[13], keys + new_page * a[8] + new % page_size * a[1])
        source = u8(values + old_page * a[18] + old % page_size * a[5], a[5])
        target = u8(values + new_page * a[18] + new % page_size * a[5], a[5])
        for byte in range(a[5]):
            target[byte] = source[byte]
