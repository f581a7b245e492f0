import numpy as np
import pytest

from toolchain.data.compose_scene import SIDE, Garment, Placed, cut_garment, draw_scene, lay_out

# A wide one, a tall one, and one that is clutter alone.
GARMENTS = [
    Garment(pixels=np.full((10, 20), 200, np.uint8), number=0),
    Garment(pixels=np.full((28, 7), 120, np.uint8), number=1),
    Garment(pixels=np.full((28, 28), 90, np.uint8), number=-1),
]
NAMED = [[0], [1]]


def draw_layouts(count=200):
    return [lay_out(GARMENTS, NAMED, np.random.default_rng(index)) for index in range(count)]


def test_every_garment_lies_in_the_scene_and_has_a_size():
    boxes = np.array([place.box for layout in draw_layouts() for place in layout])
    assert boxes.min() >= 0
    assert boxes.max() <= SIDE
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_no_scene_is_empty_and_some_hold_five():
    assert {len(layout) for layout in draw_layouts()} >= {2, 3, 4, 5}
    assert min(len(layout) for layout in draw_layouts()) >= 1


def test_garments_overlap_and_none_hides_another_wholly():
    def measure(box, other):
        width, height = (min(box[i + 2], other[i + 2]) - max(box[i], other[i]) for i in (0, 1))
        areas = [(right - left) * (bottom - top) for left, top, right, bottom in (box, other)]
        return max(0, width) * max(0, height) / min(areas)

    shares = [
        measure(layout[i].box, layout[j].box) for layout in draw_layouts() for j in range(len(layout)) for i in range(j)
    ]
    assert max(shares) <= 0.4
    assert np.mean(np.array(shares) > 0) > 0.1


def test_only_named_garments_are_placed():
    assert {place.garment for layout in draw_layouts() for place in layout} == {0, 1}


def test_the_mask_is_where_a_garment_is_drawn_and_the_later_one_lies_above():
    placed = [
        Placed(garment=0, box=(10, 10, 50, 30), mirrored=False, level=256),
        Placed(garment=1, box=(40, 20, 50, 60), mirrored=True, level=256),
    ]
    scene, mask = draw_scene(GARMENTS, placed, np.random.default_rng(0))
    assert (mask[10:20, 10:50] == 1).all()
    assert (mask[20:60, 40:50] == 2).all()
    assert np.count_nonzero(mask) == 40 * 20 + 10 * 40 - 10 * 10
    assert np.abs(scene[10:20, 10:50].astype(int) - 200).max() <= 12
    assert np.abs(scene[20:60, 40:50].astype(int) - 120).max() <= 12


def test_clutter_is_in_no_mask():
    scene, mask = draw_scene(GARMENTS, [], np.random.default_rng(0))
    assert not mask.any()
    assert len(np.unique(scene)) > 20


def test_a_garment_is_cut_to_what_it_shows():
    picture = np.zeros((28, 28), np.uint8)
    picture[5:9, 7:20] = 200
    picture[4, 7] = 10  # as dark as a soft edge
    assert cut_garment(picture, 3).pixels.shape == (4, 13)


@pytest.mark.parametrize("rows", [slice(0, 0), slice(5, 6)], ids=["nothing", "a line"])
def test_a_picture_that_shows_next_to_nothing_is_no_garment(rows):
    picture = np.zeros((28, 28), np.uint8)
    picture[rows] = 255
    assert cut_garment(picture, 0) is None
