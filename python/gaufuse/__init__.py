"""Training for weakly supervised temporal action localization on the operations of `gaufuse_ext`.

The names below are what a loop of one's own needs; each is imported when it is first used, so that
`import gaufuse` costs nothing and the command line can prepare the process before torch is loaded.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers and editors; tests/test_face.py holds them to _HOME
    from gaufuse.config import Config as Config
    from gaufuse.config import load_config as load_config
    from gaufuse.data.dataset import Batch as Batch
    from gaufuse.data.dataset import VideoSubset as VideoSubset
    from gaufuse.data.dataset import load_dataset as load_dataset
    from gaufuse.data.simulate import profile as profile
    from gaufuse.data.simulate import simulate as simulate
    from gaufuse.labels.pipeline import snippet_labels as snippet_labels
    from gaufuse.labels.pseudo_labels import labels_and_delta as labels_and_delta
    from gaufuse.labels.pseudo_labels import make_labels as make_labels
    from gaufuse.localization.detect import detect as detect
    from gaufuse.localization.detect import detections_of as detections_of
    from gaufuse.localization.evaluation import detection_score as detection_score
    from gaufuse.localization.instances import find_instances as find_instances
    from gaufuse.localization.instances import select_groups as select_groups
    from gaufuse.localization.instances import video_scores as video_scores
    from gaufuse.model.class_activations import class_activations as class_activations
    from gaufuse.model.rskp import SnippetModel as SnippetModel
    from gaufuse.model.weights import load_weights as load_weights
    from gaufuse.training.step import TrainingStep as TrainingStep
    from gaufuse.training.trainer import Trainer as Trainer

_HOME = {
    # settings, data
    "Config": "config",
    "load_config": "config",
    "Batch": "data.dataset",
    "VideoSubset": "data.dataset",
    "load_dataset": "data.dataset",
    "profile": "data.simulate",
    "simulate": "data.simulate",
    # the base model
    "SnippetModel": "model.rskp",
    "class_activations": "model.class_activations",
    "load_weights": "model.weights",
    # activations to instances and detections
    "select_groups": "localization.instances",
    "find_instances": "localization.instances",
    "video_scores": "localization.instances",
    "detect": "localization.detect",
    "detections_of": "localization.detect",
    "detection_score": "localization.evaluation",
    # activations to labels
    "snippet_labels": "labels.pipeline",
    "labels_and_delta": "labels.pseudo_labels",
    "make_labels": "labels.pseudo_labels",
    # the loop of the package
    "Trainer": "training.trainer",
    "TrainingStep": "training.step",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'gaufuse' has no attribute {name!r}")
    value = getattr(import_module(f"gaufuse.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
