"""Boxes and masks stay on what they are of, whatever the augmentation does to a picture."""

from __future__ import annotations

import pytest
import torch

from toolchain.module.fit.augment import Moves, augment_images
from toolchain.module.fit.move_targets import move_targets


def draw_scene(x1=3, y1=5, x2=9, y2=12, size=16):
    picture = torch.zeros(1, 1, size, size)
    picture[:, :, y1:y2, x1:x2] = 1.0
    return picture, torch.tensor([[x1, y1, x2, y2]], dtype=torch.float32)


def find_box(picture):
    rows, columns = torch.nonzero(picture[0] > 0.5, as_tuple=True)
    return [columns.min().item(), rows.min().item(), columns.max().item() + 1, rows.max().item() + 1]


def test_a_box_and_a_mask_move_as_the_picture_does():
    generator = torch.Generator().manual_seed(0)
    scenes = [draw_scene() for _ in range(32)]
    pictures = torch.cat([picture for picture, _ in scenes])
    targets = {
        "boxes": [boxes for _, boxes in scenes],
        "classes": [torch.tensor([7]) for _ in scenes],
        "mask": (pictures[:, 0] > 0).long(),
    }
    images, moves = augment_images(pictures, crop_padding=3, flip=True, generator=generator)
    moved = move_targets(targets, {"boxes": "boxes", "mask": "mask"}, moves, size=(16, 16))
    assert moves.mirrored.any()
    assert not moves.mirrored.all()
    assert len({(int(top), int(left)) for top, left in zip(moves.top, moves.left, strict=True)}) > 5
    for image, boxes, mask, classes in zip(images, moved["boxes"], moved["mask"], moved["classes"], strict=True):
        assert boxes.tolist() == [find_box(image)]
        assert torch.equal(mask == 1, image[0] > 0.5)
        assert classes.tolist() == [7]


def move_once(boxes, *, top, left, padding=4, mirrored=False, **others):
    moves = Moves(
        padding=padding, top=torch.tensor([top]), left=torch.tensor([left]), mirrored=torch.tensor([mirrored])
    )
    return move_targets({"boxes": [boxes], **others}, {"boxes": "boxes"}, moves, size=(16, 16))


def test_a_box_that_leaves_the_picture_goes_with_its_class_and_one_at_the_border_is_cut():
    boxes = torch.tensor([[0.0, 0.0, 3.0, 16.0], [2.0, 2.0, 8.0, 8.0], [10.0, 0.0, 16.0, 4.0]])
    moved = move_once(boxes, top=4, left=8, classes=[torch.tensor([1, 2, 3])])
    assert moved["boxes"][0].tolist() == [[0.0, 2.0, 4.0, 8.0], [6.0, 0.0, 12.0, 4.0]]
    assert moved["classes"][0].tolist() == [2, 3]


def test_a_picture_without_boxes_stays_without():
    moved = move_once(torch.zeros(0, 4), top=0, left=0, classes=[torch.zeros(0, dtype=torch.long)])
    assert (tuple(moved["boxes"][0].shape), len(moved["classes"][0])) == ((0, 4), 0)


def test_what_comes_into_a_mask_from_beyond_the_border_is_nothings():
    moves = Moves(padding=2, top=torch.tensor([0]), left=torch.tensor([2]), mirrored=torch.tensor([False]))
    moved = move_targets({"mask": torch.ones(1, 4, 4, dtype=torch.long)}, {"mask": "mask"}, moves, size=(4, 4))
    assert moved["mask"][0].tolist() == [[255] * 4, [255] * 4, [1] * 4, [1] * 4]


def test_labels_do_not_move():
    labels = torch.tensor([3])
    moves = Moves(padding=1, top=torch.tensor([0]), left=torch.tensor([0]), mirrored=torch.tensor([True]))
    assert move_targets({"labels": labels}, {}, moves, size=(4, 4)) == {"labels": labels}
    with pytest.raises(ValueError, match="nothing moves as"):
        move_targets({"labels": labels}, {"labels": "points"}, moves, size=(4, 4))
