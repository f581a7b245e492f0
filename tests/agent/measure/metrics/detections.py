"""Detections and their truth, drawn, and what pycocotools says of them."""

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from toolchain.agent.measure.targets import Ragged


def join(parts, dtype, tail=()):
    """Return ragged rows of a list for each sample."""
    arrays = [np.asarray(part, dtype).reshape(-1, *tail) for part in parts]
    offsets = np.cumsum([0, *map(len, arrays)], dtype=np.int64)
    return Ragged(values=np.concatenate([np.zeros((0, *tail), dtype), *arrays]), offsets=offsets)


def draw_boxes(generator, count, *, perfect, classes=3, crowd=False):
    """Return outputs and targets of so many pictures: some without a box, some without a detection."""
    true, found, flags = [], [], []
    for _ in range(count):
        corners = generator.random((generator.integers(0, 6), 2)) * 80
        boxes = np.concatenate([corners, corners + 5 + generator.random(corners.shape) * 40], axis=1)
        labels = generator.integers(0, classes, len(boxes))
        true.append((boxes, labels))
        flags.append(generator.random(len(boxes)) < 0.2)
        if perfect:
            found.append((boxes, labels, generator.random(len(boxes))))
            continue
        near = boxes + generator.normal(size=boxes.shape) * generator.choice([1, 4, 10], (len(boxes), 1))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)  # COCO ignores those of a negative area
        more = generator.random((generator.integers(0, 4), 2)) * 80
        boxes = np.concatenate([near, near[:2] + 1, np.concatenate([more, more + 20], axis=1)])
        labels = np.concatenate([labels, labels[:2], generator.integers(0, classes + 1, len(more))])
        found.append((boxes, labels, generator.random(len(boxes))))
    outputs = {
        "boxes": join([boxes for boxes, _, _ in found], np.float64, (4,)),
        "scores": join([scores for _, _, scores in found], np.float64),
        "classes": join([labels for _, labels, _ in found], np.int64),
    }
    targets = {
        "boxes": join([boxes for boxes, _ in true], np.float64, (4,)),
        "classes": join([labels for _, labels in true], np.int64),
    }
    return outputs, {**targets, "crowd": join(flags, np.uint8)} if crowd else targets


def measure_by_coco(outputs, targets):
    """Return COCOeval's stats of boxes."""
    truth, answers = [], []
    for index in range(len(targets["boxes"])):
        crowd = targets["crowd"].read(index) if "crowd" in targets else np.zeros(len(targets["boxes"].read(index)))
        for box, label, flag in zip(targets["boxes"].read(index), targets["classes"].read(index), crowd, strict=True):
            size = box[2:] - box[:2]
            row = {"id": len(truth) + 1, "image_id": index, "category_id": int(label), "iscrowd": int(flag)}
            truth.append({**row, "bbox": [*box[:2], *size], "area": float(size.prod())})
        rows = (outputs[name].read(index) for name in ("boxes", "classes", "scores"))
        for box, label, score in zip(*rows, strict=True):
            row = {"image_id": index, "category_id": int(label), "score": float(score)}
            answers.append({**row, "bbox": [*box[:2], *(box[2:] - box[:2])]})
    return run_coco(truth, answers, len(targets["boxes"]), "bbox")


def run_coco(truth, answers, samples, kind, sigmas=None):
    """Return COCOeval's stats."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        labels = sorted({row["category_id"] for row in truth})
        coco.dataset = {
            "images": [{"id": index} for index in range(samples)],
            "annotations": truth,
            "categories": [{"id": label} for label in labels],
            "info": {},
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(answers), kind)
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats
