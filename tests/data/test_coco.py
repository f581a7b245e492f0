"""Boxes of COCO: moved with their picture, and every way in which they are wrong."""

import json
import os

import numpy as np
import pytest

from tests.data.pictures import make_coco, write_coco, write_picture
from toolchain.data import load_dataset
from toolchain.errors import ExitCode, ToolchainError


def load(tmp_path, train=None, evaluation=None, **options):
    return load_dataset("coco", write_coco(tmp_path, train, evaluation) | options)


def refuse(tmp_path, train=None, evaluation=None, **options):
    with pytest.raises(ToolchainError) as caught:
        load(tmp_path, train, evaluation, **options)
    return caught.value


def change(document, **annotation):
    document["annotations"][1] |= annotation
    return document


def test_boxes_move_with_the_letterbox_and_classes_count_in_the_order_of_ids(tmp_path):
    data = load(tmp_path)
    assert data.classes == ("cat", "dog")
    targets = data.evaluation.targets
    assert {name: len(target) for name, target in targets.items()} == {"boxes": 3, "classes": 3, "crowd": 3}
    # 20x10 becomes 32x16.
    np.testing.assert_allclose(targets["boxes"].read(0), np.array([[2, 2, 6, 8], [10.5, 0, 20, 10]]) * 1.6, rtol=1e-6)
    assert targets["classes"].read(2).tolist() == [1, 0]
    assert data.evaluation.batch(0, 2)["input"].shape == (2, 3, 16, 32)
    assert data.train.name_sample(1) == str(tmp_path / "train/1.png")


def test_boxes_stretch_with_the_picture(tmp_path):
    boxes = load(tmp_path, width=40, height=40, resize="stretch").evaluation.targets["boxes"]
    np.testing.assert_allclose(boxes.read(0)[0], [4, 8, 12, 32], rtol=1e-6)


def test_boxes_belong_to_their_picture_in_whatever_order_the_file_has_them(tmp_path):
    document = make_coco(first=5)
    expected = load(tmp_path, evaluation=document).evaluation
    shuffled = {key: document[key] for key in ("annotations", "categories", "images")}
    order = np.random.default_rng(1).permutation(6)
    shuffled["annotations"] = [document["annotations"][index] for index in order]
    found = load(tmp_path, evaluation=shuffled).evaluation
    assert found.paths == expected.paths
    for index in range(3):
        rows, wanted = (part.targets["boxes"].read(index).tolist() for part in (found, expected))
        assert sorted(rows) == sorted(wanted)


def test_a_picture_without_boxes_is_a_sample_too(tmp_path):
    document = make_coco(first=5)
    document["annotations"] = document["annotations"][:1]
    boxes = load(tmp_path, evaluation=document).evaluation.targets["boxes"]
    assert [len(boxes.read(index)) for index in range(3)] == [1, 0, 0]


def test_a_crowd_is_evaluated_as_one_and_learned_from_by_nobody(tmp_path):
    data = load(tmp_path, change(make_coco(), iscrowd=1), change(make_coco(first=5), iscrowd=1))
    assert data.evaluation.targets["crowd"].values.tolist() == [0, 1, 0, 0, 0, 0]
    assert len(data.train.targets["boxes"].values) == 5


def test_key_points_and_areas_move_with_the_picture(tmp_path):
    documents = [make_coco(), make_coco(first=5)]
    for document in documents:
        for annotation in document["annotations"]:
            annotation["keypoints"] = [5, 5, 2, 0, 0, 0]
    targets = load(tmp_path, *documents, points=2).evaluation.targets
    np.testing.assert_allclose(targets["points"].read(0)[0], [[8, 8, 2], [0, 0, 0]])
    np.testing.assert_allclose(targets["areas"].read(0), [9 * 1.6 * 1.6] * 2, rtol=1e-6)


WRONG = {
    "outside": ({"bbox": [15, 2, 7, 2]}, "a box outside of its picture", "15, 2, 22, 4"),
    "left of it": ({"bbox": [-3, 2, 7, 2]}, "a box outside of its picture", "-3, 2, 4, 4"),
    "no width": ({"bbox": [5, 2, 0, 2]}, "a box without an area", "5, 2, 5, 4"),
    "negative": ({"bbox": [5, 2, 2, -2]}, "a box without an area", "5, 2, 7, 0"),
    "NaN": ({"bbox": [5, float("nan"), 2, 2]}, "a box that is no numbers", "nan"),
    "infinite": ({"bbox": [5, 1, float("inf"), 2]}, "a box that is no numbers", "inf"),
    "overflow": ({"bbox": [1e308, 1, 1e308, 2]}, "a box that is no numbers", "inf"),
    "three numbers": ({"bbox": [5, 1, 2]}, "an annotation that is not described", "[5, 1, 2]"),
    "texts": ({"bbox": ["5", 1, 2, 2]}, "an annotation that is not described", "'5'"),
    "huge": ({"bbox": [10**400, 1, 2, 2]}, "an annotation that is not described", "1000"),
    "booleans": ({"bbox": [True, 1, 2, 2]}, "an annotation that is not described", "True"),
    "another class": ({"category_id": 9}, "an annotation of a class that is not listed", "category_id 9"),
    "class of text": ({"category_id": "7"}, "an annotation that is not described", "'7'"),
    "another picture": ({"image_id": 99}, "an annotation of a picture that is not listed", "image_id 99"),
    "half a crowd": ({"iscrowd": 0.5}, "an annotation that is neither a crowd nor none", "0.5"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_annotation_is_refused_by_its_place(tmp_path, case):
    values, what, found = WRONG[case]
    error = refuse(tmp_path, evaluation=change(make_coco(first=5), **values))
    assert error.code is ExitCode.USAGE
    assert f"{what} (1)" in error.what
    assert f"{tmp_path}/evaluation.json: annotations[1]: " in error.found
    assert found in error.found
    assert error.expected
    assert error.fix


def test_a_box_that_a_tool_has_rounded_over_the_edge_is_taken(tmp_path):
    load(tmp_path, evaluation=change(make_coco(first=5), bbox=[-0.4, 0, 20.9, 10.2]))


def test_all_that_is_wrong_in_both_files_is_counted_at_once(tmp_path):
    train, evaluation = make_coco(), make_coco(first=5)
    for annotation in train["annotations"]:
        annotation["bbox"] = [0, 0, 0, 0]
    change(evaluation, category_id=9)
    evaluation["images"][2]["width"] = 21
    error = refuse(tmp_path, train, evaluation)
    assert error.what.startswith("the data have 8 faults: a box without an area (6), ")
    assert "a picture of another size than its annotations are for (1)" in error.what
    assert "an annotation of a class that is not listed (1)" in error.what
    assert error.found.count("annotations[") == 3
    assert error.found.endswith("; and 5 more")


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"file_name": "none.png"}, "a picture that is not there"),
        ({"file_name": "x" * 5000}, "a picture that is not there"),
        ({"file_name": ""}, "a picture that is not there"),
        ({"file_name": "../../etc/passwd"}, "a file_name that leads out of the folder"),
        ({"file_name": "a/../../evaluation.json"}, "a file_name that leads out of the folder"),
        ({"file_name": "/etc/passwd"}, "a file_name that leads out of the folder"),
        ({"file_name": "a\0b"}, "a file_name that leads out of the folder"),
        ({"file_name": "\ud800.png"}, "a file_name that leads out of the folder"),
        ({"file_name": "5.png"}, "a picture or class that is listed twice"),
        ({"file_name": "./5.png"}, "a picture or class that is listed twice"),
        ({"id": 10}, "a picture or class that is listed twice"),
        ({"width": 10, "height": 20}, "a picture of another size than its annotations are for"),
        ({"width": -20}, "a picture that is not described"),
        ({"width": 2**70}, "a picture that is not described"),
        ({"height": None}, "a picture that is not described"),
    ],
)
def test_a_wrong_picture_is_refused_by_its_place(tmp_path, values, what):
    document = make_coco(first=5)
    document["images"][1] |= values
    error = refuse(tmp_path, evaluation=document)
    assert error.code is ExitCode.USAGE
    assert f"{what} (1)" in error.what
    assert f"{tmp_path}/evaluation.json: images[1]" in error.found


def test_a_link_out_of_the_folder_is_refused_and_one_within_it_is_followed(tmp_path):
    write_coco(tmp_path)
    (tmp_path / "evaluation/more").mkdir()
    write_picture(tmp_path / "outside.png")
    document = make_coco(first=5)
    document["images"][1]["file_name"] = "linked.png"
    (tmp_path / "evaluation/linked.png").symlink_to(tmp_path / "evaluation/6.png")
    load(tmp_path, evaluation=document)
    (tmp_path / "evaluation/linked.png").unlink()
    (tmp_path / "evaluation/linked.png").symlink_to(tmp_path / "outside.png")
    assert "leads out" in refuse(tmp_path, evaluation=document).what


def test_a_folder_that_is_a_link_itself_is_followed(tmp_path):
    options = write_coco(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "evaluation")
    assert len(load_dataset("coco", options | {"evaluation_pictures": str(tmp_path / "link")}).evaluation) == 3


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_a_picture_that_is_none_is_counted_with_the_others(tmp_path, content):
    options = write_coco(tmp_path)
    for name in ("0.png", "1.png"):
        path = tmp_path / "train" / name
        path.unlink()
        os.mkfifo(path) if content is None else path.write_bytes(content)
    with pytest.raises(ToolchainError) as caught:
        load_dataset("coco", options)
    assert "(2)" in caught.value.what


def test_a_set_without_a_box_is_refused(tmp_path):
    error = refuse(tmp_path, evaluation=make_coco(first=5) | {"annotations": []})
    assert (error.code, error.what) == (ExitCode.USAGE, "no sample has a box")
    assert error.where == str(tmp_path / "evaluation.json")
    # Of crowds alone nothing is learned.
    document = make_coco()
    for annotation in document["annotations"]:
        annotation["iscrowd"] = 1
    assert refuse(tmp_path, train=document).what == "no sample has a box"


@pytest.mark.parametrize("category", [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}])
def test_a_category_that_is_listed_twice_in_one_file_is_called_that(tmp_path, category):
    document = make_coco(first=5)
    document["categories"][1] = category
    assert "a picture or class that is listed twice (1)" in refuse(tmp_path, evaluation=document).what


def test_boxes_that_are_fractions_of_their_pictures_are_refused(tmp_path):
    document = make_coco(first=5)
    for annotation in document["annotations"]:
        annotation["bbox"] = [0.1, 0.1, 0.5, 1]
    error = refuse(tmp_path, evaluation=document)
    assert (error.code, error.what) == (ExitCode.USAGE, "the boxes are fractions of their pictures")
    assert error.where.endswith("evaluation.json")


def test_files_with_other_categories_are_refused(tmp_path):
    document = make_coco(first=5)
    document["categories"][0]["name"] = "wolf"
    error = refuse(tmp_path, evaluation=document)
    assert error.code is ExitCode.USAGE
    assert "7 dog, 7 wolf" in error.found


@pytest.mark.parametrize("document", [{}, {"images": []}, {"images": [1], "categories": [None], "annotations": "x"}])
def test_a_file_of_something_else_is_refused(tmp_path, document):
    options = write_coco(tmp_path)
    (tmp_path / "train.json").write_text(json.dumps(document))
    with pytest.raises(ToolchainError) as caught:
        load_dataset("coco", options)
    assert caught.value.code in (ExitCode.USAGE, ExitCode.MALFORMED)
    assert "train.json" in str(caught.value)


def test_key_points_that_are_not_there_or_outside_are_refused(tmp_path):
    document = make_coco(first=5)
    for annotation in document["annotations"]:
        annotation["keypoints"] = [5, 5, 2]
    document["annotations"][0]["keypoints"] = [5, 50, 2]
    document["annotations"][2]["area"] = None
    error = refuse(tmp_path, make_coco(), document, points=1)
    assert "an annotation without its key points (7)" in error.what
    assert "a point outside of its picture (1)" in error.what


def test_missing_files_are_exit_3(tmp_path):
    assert refuse(tmp_path, train=make_coco(), evaluation_pictures="/none").code is ExitCode.USAGE
    with pytest.raises(ToolchainError) as caught:
        load_dataset("coco", write_coco(tmp_path) | {"train": str(tmp_path / "none.json")})
    assert caught.value.code is ExitCode.MISSING


def test_the_hash_sees_options_annotations_and_pictures(tmp_path):
    options = write_coco(tmp_path)
    hashes = {load_dataset("coco", options | change).evaluation.sha256 for change in ({}, {"width": 8}, {"fill": 0})}
    write_coco(tmp_path, evaluation=change(make_coco(first=5), bbox=[1, 1, 2, 2]))
    hashes.add(load_dataset("coco", options).evaluation.sha256)
    write_picture(tmp_path / "evaluation/5.png", seed=77)
    hashes.add(load_dataset("coco", options).evaluation.sha256)
    assert len(hashes) == 5
