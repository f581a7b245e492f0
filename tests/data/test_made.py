import numpy as np

from toolchain.data.made import MadeSamples, join_texts


def make_samples(asked):
    def make(index):
        asked.append(index)
        return {"x": np.full((2,), index, dtype=np.uint8)}

    return MadeSamples(count=100, make=make, targets={}, sha256="of numbers", finish=lambda rows: rows / 2)


def test_nothing_is_made_before_it_is_asked_for_and_nothing_twice():
    asked = []
    samples = make_samples(asked)
    assert (len(samples), asked) == (100, [])
    samples.batch(3, 5)
    samples.take(np.array([4, 9]))
    assert asked == [3, 4, 9]


def test_a_batch_ends_with_the_samples():
    batch = make_samples([]).batch(98, 130)["x"]
    assert batch.tolist() == [[49.0, 49.0], [49.5, 49.5]]


def test_texts_are_their_bytes_and_an_empty_one_is_none():
    target = join_texts(["ab", "", "ü"])
    assert [bytes(target.read(index)).decode() for index in range(3)] == ["ab", "", "ü"]
