"""Which matrices are tested, by what the first pass counted."""

from dataclasses import replace

import pytest

from conceptrevive.auditing.scan import TensorScan
from conceptrevive.auditing.selection import choose, is_coarse, suspicion

ONE = TensorScan("w", (100, 1000), "F32", 0, 0, 0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ({"zeros": 4}, 0.0),  # 3e-5 of 100 000 are three, but five are the least
        ({"zeros": 5}, 5e-5),
        ({"zeros": 1005, "dead_rows": 1}, 5e-5),  # a row that is off is no scattered zero
        ({"zeros": 1004, "dead_rows": 1}, 0.0),
        ({"zeros": 100_000, "dead_rows": 100}, 0.0),
        ({"ties": 0.13}, 0.0),  # 0.1 and three ties in all
        ({"ties": 0.131}, 0.131),
        ({"ties": 0.2, "dead_rows": 99, "zeros": 99_000}, 0.0),
        ({"zeros": 20_000, "ties": 0.15}, 0.2),
        ({"zeros": 5_000, "ties": 0.15}, 0.15),
        ({"zeros": 5_000, "levels": 0.2}, 0.0),  # on a coarse grid
        ({"zeros": 5_000, "levels": 0.25}, 0.05),
        ({"shape": (3, 1000), "zeros": 500}, 0.0),  # no matrix
    ],
    ids=str,
)
def test_suspicion(change, value):
    assert suspicion(replace(ONE, **change)) == pytest.approx(value)


def test_a_coarse_matrix_has_few_levels():
    assert is_coarse(replace(ONE, levels=0.24)) and not is_coarse(replace(ONE, levels=0.25))
    assert not is_coarse(replace(ONE, levels=0.1, shape=(100_000,)))
    assert not is_coarse(replace(ONE, levels=0.1, zeros=100_000))


def test_suspects_come_first_and_the_sample_is_of_the_others():
    scans = [replace(ONE, digest=i) for i in range(5)]
    scans[3] = replace(scans[3], zeros=500)
    scans.append(replace(ONE, zeros=100_000))
    chosen = choose(scans, False, 0)
    assert chosen == {3: "suspicious", 0: "sample", 1: "sample", 2: "sample", 4: "sample"}
    assert next(iter(chosen)) == 3
    assert choose(scans, True, 0) == dict.fromkeys(range(5), "deep")


def test_large_matrices_share_a_budget():
    large = [replace(ONE, shape=(1000, 4000), digest=i) for i in range(40)]
    assert len(choose(large, False, 0)) == 16  # 2^25 entries of 2^21 a matrix
    assert choose(large, False, 0) == choose(large, False, 0) != choose(large, False, 1)
    suspects = [replace(s, zeros=1000 + i) for i, s in enumerate(large)]
    assert list(choose(suspects, False, 0)) == list(range(39, 7, -1))  # the worst 32
