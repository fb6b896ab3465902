"""ActionFormer-style detections through gaufuse_ext.compat.actionformer.

    python examples/postprocess_detections.py

A model's head gives, for every video, many overlapping segments in seconds, each with a score and a
class. `batched_nms` has the name, arguments and numbers of ActionFormer's own (in libs.utils), runs
all classes in one call, and takes CUDA tensors, too.
"""

from __future__ import annotations

import torch

from gaufuse_ext.compat.actionformer import batched_nms  # was: from libs.utils import batched_nms

CLASSES = ["dive", "jump"]


def raw_detections() -> dict[str, torch.Tensor]:
    """What a head's inference leaves of one video: three guesses at a dive, two at a jump."""
    return {
        "segments": torch.tensor(
            [[10.0, 20.0], [11.0, 21.0], [40.0, 48.0], [12.0, 19.0], [60.0, 63.0]]
        ),
        "scores": torch.tensor([0.9, 0.8, 0.6, 0.7, 0.3]),
        "labels": torch.tensor([0, 0, 1, 0, 1]),
    }


def postprocess(raw: dict[str, torch.Tensor]) -> list[dict]:
    """ActivityNet-style detections of a video, by score descending."""
    segments, scores, labels = batched_nms(
        raw["segments"],
        raw["scores"],
        raw["labels"],
        iou_threshold=0.1,  # of hard NMS alone; soft-NMS lowers scores instead
        min_score=0.001,
        max_seg_num=200,
        use_soft_nms=True,
        multiclass=True,
        sigma=0.5,
        voting_thresh=0.7,  # votes only where multiclass is False
    )
    rows = zip(segments.tolist(), scores.tolist(), labels.tolist(), strict=True)
    return [{"segment": s, "score": score, "label": CLASSES[c]} for s, score, c in rows]


if __name__ == "__main__":
    for detection in postprocess(raw_detections()):
        start, end = detection["segment"]
        print(f"{detection['label']:5} {start:6.2f} - {end:6.2f} s  score {detection['score']:.4f}")
