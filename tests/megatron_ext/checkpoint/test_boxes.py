"""A stretch of a tensor, read row by row, as boxes: the whole stretch, in order, and nothing else."""

import math

import numpy as np
import pytest

from megatron_ext.checkpoint.boxes import boxes_of


@pytest.mark.parametrize("shape", [(), (7,), (3, 4), (1, 5), (5, 1, 2), (2, 3, 4), (2, 2, 2, 2)], ids=str)
def test_the_boxes_of_every_stretch_hold_its_elements_in_order(shape):
    elements = math.prod(shape)
    array = np.arange(elements).reshape(shape)
    for start in range(elements + 1):
        for stop in range(start, elements + 1):
            found = [
                element
                for offsets, sizes in boxes_of(shape, start, stop)
                for element in array[tuple(map(slice, offsets, np.add(offsets, sizes)))].ravel()
            ]
            assert found == list(range(start, stop))


def test_a_stretch_of_a_matrix_is_at_most_three_boxes():
    stretches = [(start, stop) for start in range(20) for stop in range(start, 21)]
    assert max(len(list(boxes_of((4, 5), *stretch))) for stretch in stretches) == 3
