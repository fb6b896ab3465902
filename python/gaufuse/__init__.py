"""Training for weakly supervised temporal action localization on the operations of `gaufuse_ext`.

The names below are what a loop of one's own needs; each is imported when it is first used, so that
`import gaufuse` costs nothing and the command line can prepare the process before torch is loaded.
"""

from importlib import import_module

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
