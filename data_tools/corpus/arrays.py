"""`.npy` files that are written piece by piece: the header first, then the rows, by whoever and in whatever order."""

import io

import numpy as np


def npy_header(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    """What stands before the rows of an array, as numpy writes it."""
    file = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, description)
    return file.getvalue()
