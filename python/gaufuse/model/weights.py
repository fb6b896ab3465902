"""Weights that were not trained here: the authors' state dicts, for evaluation and fine-tuning.

A .pkl or .pth with mu, ac_center, fg_center, feature_embedding.0.weight and .bias (perhaps behind
`module.`, perhaps in a dict under `state_dict` or the like), read without trust: torch files by
weights_only, plain pickles by an unpickler that can rebuild tensors and nothing else.
"""

from __future__ import annotations

import collections
import itertools
import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from gaufuse.config import Config, validate
from gaufuse.model.checkpoint import checkpoint_of, load_checkpoint
from gaufuse.model.fused_models import FusedModels, Localizer
from gaufuse.model.rskp import SnippetModel
from gaufuse.model.temporal_linear import shared_out
from gaufuse.model.temporal_student import TemporalStudent
from gaufuse.utils.plain_pickle import Constructor, PlainUnpickler, encode_latin1
from gaufuse.utils.torch_files import first_line, is_whole, load_torch_bytes, load_torch_file

NAMES = (
    "mu",
    "ac_center",
    "fg_center",
    "feature_embedding.0.weight",
    "feature_embedding.0.bias",
)
OUTER = "feature_embedding.0.outer."  # further rings of several kernels (TemporalLinear)
BASE, STUDENT = "base.", "student."  # prefixes in the state dict of FusedModels
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network")


@dataclass(frozen=True)
class Weights:
    """A model's weights, and what they say about themselves."""

    path: Path
    model: dict[str, torch.Tensor]  # all of SnippetModel's names, or of FusedModels'
    config: Config | None  # of our own checkpoints
    classes: list[str] | None

    @property
    def feature_dim(self) -> int:
        """Of the features that the model takes."""
        return len(self.base["feature_mean"])

    @property
    def num_classes(self) -> int:
        """Without the background."""
        return len(self.base["ac_center"]) - 1

    @property
    def has_student(self) -> bool:
        """Whether they are of a second round: base model and student."""
        return any(name.startswith(STUDENT) for name in self.model)

    @property
    def base(self) -> dict[str, torch.Tensor]:
        """The base model's, under SnippetModel's names."""
        return base_weights(self.model)


def load_weights(path: str | Path) -> Weights:
    """Our own checkpoint's folder (or its run's: see `checkpoint_of`), or a file of the authors'.

    Raises:
        FileNotFoundError, ValueError: with the path and what is wrong.
    """
    path = Path(path)
    if path.is_dir():
        path = checkpoint_of(path)
        checkpoint = load_checkpoint(path, training=False)
        config = validate(checkpoint.config, str(path))
        base = _check(path, base_weights(checkpoint.model))
        weights = Weights(path, checkpoint.model, config, checkpoint.classes)
        return weights if weights.has_student else replace(weights, model=base)
    return Weights(path, load_authors_checkpoint(path), None, None)


def load_authors_checkpoint(path: str | Path) -> dict[str, torch.Tensor]:
    """The state dict (float32, on the CPU) under our model's names: feature_mean and feature_scale,
    which the authors do not have, are 0 and 1. What our models have is kept in a state dict of
    theirs.

    Raises:
        FileNotFoundError, ValueError: with the path and what is wrong.
    """
    path = Path(path)
    state = _unwrap(_read(path), path)
    ours = {*NAMES, "feature_mean", "feature_scale"}
    kept = {n: value for n, value in state.items() if n in ours or n.startswith(OUTER)}
    return _check(path, kept)


def base_weights(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those of the base model under its own names, of a state dict of it or of FusedModels."""
    if not any(name.startswith(STUDENT) for name in state):
        return state
    own = {name: value for name, value in state.items() if name.startswith(BASE)}
    return {name.removeprefix(BASE): value for name, value in own.items()}


def build_model(weights: Weights, config: Config) -> Localizer:
    """A model of the shapes of the weights; the rest of its settings is the configuration's.

    Raises:
        ValueError: a student's weights do not fit the configuration.
    """
    base = _build_base(weights, config)
    if not weights.has_student:
        return base
    student = TemporalStudent(weights.feature_dim, weights.num_classes, config.second_round)
    model = FusedModels(base, student, config)
    try:
        model.load_state_dict(weights.model)
    except RuntimeError as error:
        raise ValueError(
            f"{weights.path} does not fit the configuration's [second_round]: {error}"
        ) from None
    return model.eval()


def _build_base(weights: Weights, config: Config) -> SnippetModel:
    state = weights.base
    mu = state["mu"]
    own = {
        "embedding_dim": mu.shape[1],
        "representatives": mu.shape[0],
        "kernel": _kernels(state, weights.feature_dim),
    }
    if weights.config is not None:
        own["dilation"] = weights.config.model.dilation
    shaped = config.model.model_copy(update=own)
    model = SnippetModel(weights.feature_dim, weights.num_classes, shaped)
    model.load_state_dict(state)
    return model.eval()


def _kernels(state: dict[str, torch.Tensor], feature_dim: int) -> list[int]:
    """Of the embedding: each ring has a block of columns for each snippet that it sees."""
    outer = [f"{OUTER}{ring}" for ring in range(_outer_rings(state))]
    columns = [state[name].shape[1] for name in (NAMES[3], *outer)]
    return list(itertools.accumulate(count // feature_dim for count in columns))


def _outer_rings(state: dict[str, torch.Tensor]) -> int:
    return sum(name.startswith(OUTER) for name in state)


def check_fits(weights: Weights, feature_dim: int, classes: list[str]) -> None:
    """Whether weights are for a data set of such features and classes.

    Raises:
        ValueError: they are not.
    """
    if weights.feature_dim != feature_dim:
        raise ValueError(
            f"{weights.path} takes features of {weights.feature_dim} dimensions, the data set's "
            f"have {feature_dim}"
        )
    if weights.num_classes != len(classes):
        raise ValueError(
            f"{weights.path} tells {weights.num_classes} classes apart, the data set has "
            f"{len(classes)}"
        )
    if weights.classes is not None and weights.classes != classes:
        raise ValueError(f"{weights.path} was trained on other classes, or in another order")


def initialise(model: SnippetModel, weights: Weights) -> None:
    """Starts a model from weights.

    Raises:
        ValueError: a shape, or how far the embedding sees, differs from the configuration's.
    """
    state = weights.base
    wanted = model.state_dict()
    _check_reach(model, weights)
    for name in wanted | state:
        has, wants = (_shape(of.get(name)) for of in (state, wanted))
        if has != wants:
            raise ValueError(
                f"{weights.path}: {name} has {has}, the configuration wants {wants} "
                "(model.embedding_dim and model.representatives)"
            )
    model.load_state_dict(state)


def _check_reach(model: SnippetModel, weights: Weights) -> None:
    kernels = _kernels(weights.base, weights.feature_dim)
    has: dict[str, object] = {"kernel": kernels}
    wants: dict[str, object] = {"kernel": _kernels(model.state_dict(), len(model.feature_mean))}
    if weights.config is not None and kernels != [1]:  # the dilation is not among the shapes
        has["dilation"], wants["dilation"] = weights.config.model.dilation, model.config.dilation
    for name, value in has.items():
        if value != wants[name]:
            raise ValueError(
                f"{weights.path} has model.{name} = {value}, the configuration {wants[name]}: "
                f"train with that of the weights (--set 'model.{name}={value}')"
            )


def _shape(value: torch.Tensor | None) -> str:
    return "no values" if value is None else f"shape {tuple(value.shape)}"


def _read(path: Path) -> object:
    try:
        return load_torch_file(path)
    except ValueError as torch_error:  # not torch's: perhaps a plain pickle
        try:
            with path.open("rb") as file:
                value = _TensorUnpickler(file, _NAMES).load()
            if not isinstance(value, dict):
                raise ValueError(f"it holds {type(value).__name__}")
            return value
        except Exception as error:  # whatever the bytes of a broken file lead to
            raise ValueError(
                f"{path} is not a readable checkpoint (as a torch file: {torch_error}; as a "
                f"pickle: {first_line(error)})"
            ) from None


class _TensorUnpickler(PlainUnpickler):
    """State dicts that were pickled as they are: tensors on storages, in dicts."""

    def set_state(self, value: object, state: object) -> None:
        # Of an OrderedDict: torch's notes on versions of modules, which nobody reads here.
        if not isinstance(value, collections.OrderedDict):
            raise pickle.UnpicklingError(f"refused to set the state of {type(value).__name__}")


def _rebuild_tensor(storage: object, *rest: object) -> torch.Tensor:
    if not isinstance(storage, torch.storage.TypedStorage | torch.UntypedStorage):
        raise pickle.UnpicklingError("a tensor without a storage")
    tensor: torch.Tensor = torch._utils._rebuild_tensor_v2(storage, *rest)
    return tensor


def _rebuild_parameter(data: object, requires_grad: object, hooks: object) -> nn.Parameter:
    if not isinstance(data, torch.Tensor):
        raise pickle.UnpicklingError("a parameter that is not a tensor")
    return nn.Parameter(data, requires_grad=False)


def _load_storage(data: object) -> object:
    if isinstance(data, str):  # Python 2's
        data = data.encode("latin1")
    if not isinstance(data, bytes):
        raise pickle.UnpicklingError("a storage that is not bytes")
    return load_torch_bytes(data)


_NAMES = {
    ("collections", "OrderedDict"): Constructor(collections.OrderedDict),
    ("torch._utils", "_rebuild_tensor_v2"): Constructor(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): Constructor(_rebuild_parameter),
    ("torch.storage", "_load_from_bytes"): Constructor(_load_storage),
    ("_codecs", "encode"): Constructor(encode_latin1),
}


def _unwrap(value: object, path: Path) -> dict[str, torch.Tensor]:
    for _ in range(3):
        if not isinstance(value, dict):
            break
        state = {str(name).removeprefix("module."): tensor for name, tensor in value.items()}
        if set(NAMES) <= set(state):
            return state
        inner = next((name for name in WRAPPERS if isinstance(state.get(name), dict)), None)
        if inner is None:
            absent = [name for name in NAMES if name not in state]
            raise ValueError(f"{path} has no {', '.join(absent)}: it is not of this model")
        value = state[inner]
    raise ValueError(f"{path} holds {type(value).__name__}, not a state dict")


def _check(path: Path, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    absent = [name for name in NAMES if not isinstance(state.get(name), torch.Tensor)]
    if absent:
        raise ValueError(f"{path} has no tensor {', '.join(absent)}: it is not of this model")
    for name, value in state.items():
        if not isinstance(value, torch.Tensor) or not is_whole(value):
            raise ValueError(f"{path}: {name} is no tensor with a stored value for each of its own")
    state = {name: value.detach().float().cpu().contiguous() for name, value in state.items()}
    weight, mu, centers = state[NAMES[3]], state["mu"], state["ac_center"]
    if weight.ndim != 2 or mu.ndim != 2 or centers.ndim != 2 or len(centers) < 2:
        raise ValueError(f"{path}: mu, ac_center and {NAMES[3]} must be matrices")
    dim, columns = weight.shape
    feature_dim = len(state.setdefault("feature_mean", torch.zeros(columns)))
    state.setdefault("feature_scale", torch.ones(feature_dim))
    if not feature_dim or columns % feature_dim or columns // feature_dim % 2 == 0:
        raise ValueError(
            f"{path}: {NAMES[3]} must have a block of {feature_dim} columns (feature_mean) for "
            f"each snippet that the kernel sees, an odd number of them, got {columns} columns"
        )
    wanted = {
        "mu": (len(mu), dim),
        "ac_center": (len(centers), dim),
        "fg_center": (1, dim),
        NAMES[4]: (dim,),
        "feature_mean": (feature_dim,),
        "feature_scale": (feature_dim,),
    }
    starts = shared_out(dim, _outer_rings(state) + 1)[1:-1]
    for ring, first in enumerate(starts):
        own = state.get(f"{OUTER}{ring}")
        if own is None or own.ndim != 2 or not own.shape[1] or own.shape[1] % (2 * feature_dim):
            raise ValueError(
                f"{path}: {OUTER}{ring} must be a matrix with a block of {feature_dim} columns for "
                "each further snippet, as many before as after"
            )
        wanted[f"{OUTER}{ring}"] = (dim - first, own.shape[1])
    for name, shape in wanted.items():
        if tuple(state[name].shape) != shape:
            raise ValueError(
                f"{path}: {name} must have shape {shape} beside an embedding of "
                f"{tuple(weight.shape)}, got {tuple(state[name].shape)}"
            )
    for name, value in state.items():
        if not value.isfinite().all():
            raise ValueError(f"{path}: {name} has NaN or infinite values")
    return state
