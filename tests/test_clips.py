"""Files held out whole, clips kept on disk."""

import numpy as np
import pytest

from unrolled.data import clips
from unrolled.data.clips import Clip


def of(*sizes):
    return [Clip(np.full(size, i / 10, np.float32), f"file {i}") for i, size in enumerate(sizes)]


def split(*sizes, share=0.2, seed=1):
    return clips.split(of(*sizes), share, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(5))
def test_no_file_is_on_both_sides(seed):
    stay, held, cut = split(*[10] * 20, 15, 3, seed=seed)
    assert not cut and {one.origin for one in stay} & {one.origin for one in held} == set()
    assert 0 < sum(len(one.samples) for one in held) <= 0.2 * 218
    assert len(stay) + len(held) == 22


def test_of_one_file_the_end_is_held_out_and_that_is_told():
    stay, held, cut = split(100)
    assert cut and [len(one.samples) for one in (*stay, *held)] == [80, 20]


def test_of_few_large_files_the_shortest_is_held_out():
    stay, held, cut = split(100, 90)
    assert not cut and held[0].origin == "file 1" and [one.origin for one in stay] == ["file 0"]
    assert clips.split([], 0.2, np.random.default_rng(1)) == ([], [], False)


def test_a_single_recording_stays():
    assert [len(part) for part in clips.draw(of(5), 0.2, np.random.default_rng(1))] == [1, 0]
    assert [len(part) for part in clips.draw(of(5, 5), 0.2, np.random.default_rng(1))] == [1, 1]


def test_clips_are_kept_as_they_are(tmp_path):
    account = clips.keep(tmp_path / "dev.words", of(3, 0, 2))
    found = clips.opened(tmp_path / "dev.words", account).whole()
    assert [(len(one.samples), one.origin) for one in found] == [(3, "file 0"), (0, "file 1"), (2, "file 2")]
    np.testing.assert_array_equal(found[2].samples, round(0.2 * 32768))
