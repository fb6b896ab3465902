"""Operations for weakly supervised temporal action localization, batched, on CPU and CUDA.

Gaussian weighted instance fusion, LinPro pseudo labels and what goes with them, after "Improving
Weakly Supervised Temporal Action Localization by Bridging Train-Test Gap in Pseudo Labels"
(CVPR 2023). The training system on top is the package `gaufuse`.
"""

from gaufuse_ext._groups import valid_mask
from gaufuse_ext.build_info import build_info
from gaufuse_ext.evaluation.average_recall import AverageRecall, average_recall
from gaufuse_ext.evaluation.bootstrap import BootstrapMap
from gaufuse_ext.evaluation.classification_map import ClassificationMap, classification_map
from gaufuse_ext.evaluation.detection_map import DetectionMap, detection_map
from gaufuse_ext.evaluation.detection_map_metric import DetectionMapMetric
from gaufuse_ext.evaluation.match_detections import Matches, match_detections
from gaufuse_ext.flat_segments import FlatSegments
from gaufuse_ext.linpro.labels import LinproLabels, LinproStatus
from gaufuse_ext.ops.count_proposals import count_proposals
from gaufuse_ext.ops.fuse_segments import FusedSegments, fuse_segments
from gaufuse_ext.ops.interval_membership import interval_membership
from gaufuse_ext.ops.linpro_labels import linpro_labels
from gaufuse_ext.ops.nms import nms
from gaufuse_ext.ops.segment_iou import segment_iou
from gaufuse_ext.ops.segment_voting import segment_voting
from gaufuse_ext.ops.soft_nms import SoftNms, soft_nms
from gaufuse_ext.ops.threshold_proposals import Proposals, threshold_proposals
from gaufuse_ext.ops.weighted_segments_fusion import WeightedSegments, weighted_segments_fusion
from gaufuse_ext.thresholds import threshold_range

__version__ = build_info()["version"]

__all__ = [
    "AverageRecall",
    "BootstrapMap",
    "ClassificationMap",
    "DetectionMap",
    "DetectionMapMetric",
    "FlatSegments",
    "FusedSegments",
    "LinproLabels",
    "LinproStatus",
    "Matches",
    "Proposals",
    "SoftNms",
    "WeightedSegments",
    "average_recall",
    "build_info",
    "classification_map",
    "count_proposals",
    "detection_map",
    "fuse_segments",
    "interval_membership",
    "linpro_labels",
    "match_detections",
    "nms",
    "segment_iou",
    "segment_voting",
    "soft_nms",
    "threshold_proposals",
    "threshold_range",
    "valid_mask",
    "weighted_segments_fusion",
]
