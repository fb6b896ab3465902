"""The authors' state dicts load, detect and are trained on from; hostile ones are refused."""

from __future__ import annotations

import json
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from gaufuse.cli.main import main
from gaufuse.config import Config
from gaufuse.data.dataset import load_dataset
from gaufuse.localization.detect import detect
from gaufuse.model.checkpoint import Checkpoint, save_checkpoint
from gaufuse.model.rskp import SnippetModel
from gaufuse.model.weights import (
    NAMES,
    build_model,
    initialise,
    load_authors_checkpoint,
    load_weights,
)
from training_setups import SHORT, TINY, short_config, tiny_dataset


def state_dict(dim: int = 12, classes: int = 3) -> OrderedDict:
    generator = torch.Generator().manual_seed(5)
    shapes = ((8, dim), (classes + 1, dim), (1, dim), (dim, TINY.feature_dim), (dim,))
    return OrderedDict(
        (name, torch.randn(shape, generator=generator))
        for name, shape in zip(NAMES, shapes, strict=True)
    )


def save_zip(state, path):
    torch.save(state, path)


def save_legacy(state, path):
    torch.save(state, path, _use_new_zipfile_serialization=False)


def save_pickle(state, path):
    path.write_bytes(pickle.dumps(state, protocol=2))


def save_pickle_4(state, path):
    path.write_bytes(pickle.dumps(state, protocol=4))


def as_parameters(state):
    return OrderedDict((name, torch.nn.Parameter(value)) for name, value in state.items())


def in_parallel(state):
    return {f"module.{name}": value for name, value in state.items()}


@pytest.mark.parametrize("save", [save_zip, save_legacy, save_pickle, save_pickle_4])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        as_parameters,
        in_parallel,
        lambda state: {"epoch": 3, "state_dict": state},
        lambda state: {"model": in_parallel(state), "step": 1},
    ],
    ids=["plain", "parameters", "module", "state_dict", "model+module"],
)
def test_loads_in_every_wrapping(tmp_path, save, wrap):
    state = state_dict()
    save(wrap(state), tmp_path / "model.pkl")
    found = load_authors_checkpoint(tmp_path / "model.pkl")
    for name in NAMES:
        assert torch.equal(found[name], state[name])
    assert found["feature_mean"].tolist() == [0.0] * TINY.feature_dim
    assert found["feature_scale"].tolist() == [1.0] * TINY.feature_dim


class _Attack:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("save", [save_zip, save_legacy, save_pickle, save_pickle_4])
def test_code_is_not_run(tmp_path, save):
    state = state_dict()
    state["mu"] = _Attack(tmp_path / "hit")
    save(state, tmp_path / "model.pkl")
    with pytest.raises(ValueError, match=r"model\.pkl is not a readable checkpoint"):
        load_authors_checkpoint(tmp_path / "model.pkl")
    assert not (tmp_path / "hit").exists()


def test_code_inside_a_storage_is_not_run(tmp_path):
    class Storage:
        def __reduce__(self):
            inner = pickle.dumps(_Attack(tmp_path / "hit"))
            return torch.storage._load_from_bytes, (inner,)

    save_pickle({"mu": Storage()}, tmp_path / "model.pkl")
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        load_authors_checkpoint(tmp_path / "model.pkl")
    assert not (tmp_path / "hit").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("mu"), "has no mu"),
        (lambda state: state.update(mu=[1.0]), "has no tensor mu"),
        (lambda state: state.update(mu=torch.zeros(8, 5)), r"mu must have shape \(8, 12\)"),
        (lambda state: state.update(fg_center=torch.zeros(2, 12)), "fg_center must have shape"),
        (lambda state: state.update(ac_center=torch.zeros(4)), "must be matrices"),
        (lambda state: state["mu"].fill_(torch.nan), "mu has NaN"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, message):
    state = state_dict()
    change(state)
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(ValueError, match=message):
        load_authors_checkpoint(tmp_path / "model.pth")


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_authors_checkpoint(tmp_path / "absent.pkl")
    (tmp_path / "text.pkl").write_text("not a checkpoint")
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        load_authors_checkpoint(tmp_path / "text.pkl")
    torch.save([1, 2], tmp_path / "list.pkl")
    with pytest.raises(ValueError, match="holds list"):
        load_authors_checkpoint(tmp_path / "list.pkl")


def test_detect_with_the_authors_weights(tmp_path):
    data = tiny_dataset(tmp_path / "data")
    torch.save(state_dict(), tmp_path / "model.pkl")
    output = tmp_path / "found.json"
    command = ["detect", str(tmp_path / "model.pkl"), str(data), "-o", str(output)]
    assert main([*command, "--config", "simulated"]) == 0
    found = json.loads(output.read_text())["results"]
    config = short_config()
    model = build_model(load_weights(tmp_path / "model.pkl"), config)
    assert model.mu.shape == (8, 12)
    wanted = detect(model, load_dataset(data).testing, config, torch.device("cpu"))
    assert found == wanted
    assert main(command) == 0, "the release's preset without --config"


def test_weights_for_other_data_are_refused(tmp_path, capsys):
    data = tiny_dataset(tmp_path / "data")
    torch.save(state_dict(classes=5), tmp_path / "model.pkl")
    command = ["detect", str(tmp_path / "model.pkl"), str(data), "-o", str(tmp_path / "x.json")]
    assert main(command) == 2
    assert "tells 5 classes apart, the data set has 3" in capsys.readouterr().err


def test_fine_tuning_and_our_own_checkpoints(tmp_path, capsys):
    data = tiny_dataset(tmp_path / "data")
    torch.save(state_dict(dim=16), tmp_path / "model.pkl")
    run = tmp_path / "run"
    changes = [part for change in SHORT for part in ("--set", change)]
    still = ["--set", "optimizer.learning_rate=[{until=7, value=0.0}]"]
    still += ["--set", "data.standardize=false"]
    train = ["train", str(data), "-o", str(run), "--config", "simulated", *changes]
    assert main([*train, *still, "--init", str(tmp_path / "model.pkl")]) == 0
    checkpoint = run / "checkpoints" / "epoch-0007"
    own = load_weights(checkpoint)
    assert torch.equal(own.model["mu"], state_dict(dim=16)["mu"]), "learning rate 0: as it started"
    output = tmp_path / "found.json"
    assert main(["detect", str(checkpoint), str(data), "-o", str(output)]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["chosen_epoch"] in (2, 4, 7)
    predictions = json.loads((run / "predictions.json").read_text())
    assert json.loads(output.read_text()) == predictions, "the weights never changed"
    other = ["train", str(data), "-o", str(tmp_path / "other"), "--config", "simulated", *changes]
    assert main([*other, "--set", "model.representatives=4", "--init", str(checkpoint)]) == 2
    assert "mu has shape (8, 16), the configuration wants shape (4, 16)" in capsys.readouterr().err


RING = "feature_embedding.0.outer.0"


def several_kernels() -> SnippetModel:
    torch.manual_seed(0)
    config = short_config("model.kernel=[1,5,9]", "model.embedding_dim=16").model
    return SnippetModel(TINY.feature_dim, 3, config)


def saved(root: Path, state: dict[str, torch.Tensor], config: Config | None = None) -> Path:
    root.mkdir(exist_ok=True)
    settings = (config or short_config()).model_dump(mode="json")
    classes = ["a", "b", "c"]
    save_checkpoint(root, Checkpoint(settings, classes, TINY.feature_dim, 1, state, [], {}))
    return root / "epoch-0001"


def test_several_kernels_are_read_from_the_shapes(tmp_path):
    model = several_kernels()
    weights = load_weights(saved(tmp_path / "several", model.state_dict()))
    found = build_model(weights, short_config())
    assert found.config.kernel == [1, 5, 9]
    x, mask = torch.rand(1, 20, TINY.feature_dim), torch.ones(1, 20, dtype=torch.bool)
    expected = model.eval()(x, mask).original.scores
    torch.testing.assert_close(found(x, mask).original.scores, expected, rtol=0, atol=0)
    other = SnippetModel(TINY.feature_dim, 3, short_config("model.embedding_dim=16").model)
    with pytest.raises(ValueError, match=r"has model.kernel = \[1, 5, 9\], .* \[1\]"):
        initialise(other, weights)
    one = load_weights(saved(tmp_path / "one", other.state_dict()))
    with pytest.raises(ValueError, match=r"has model.kernel = \[1\], .* \[1, 5, 9\]"):
        initialise(model, one)


def test_a_state_dict_of_ours_keeps_all_that_it_has(tmp_path):
    model = several_kernels()
    model.standardize(torch.full((TINY.feature_dim,), 2.0), torch.full((TINY.feature_dim,), 0.5))
    torch.save(model.state_dict() | {"unknown": torch.zeros(3)}, tmp_path / "ours.pth")
    weights = load_weights(tmp_path / "ours.pth")
    found = build_model(weights, short_config())
    for name, value in model.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name


def test_how_far_a_model_sees_comes_with_its_weights(tmp_path):
    """The dilation is not among the shapes."""
    wide = short_config("model.kernel=5", "model.dilation=2", "model.embedding_dim=16")
    near = short_config("model.kernel=5", "model.embedding_dim=16")
    torch.manual_seed(0)
    model = SnippetModel(TINY.feature_dim, 3, wide.model).eval()
    weights = load_weights(saved(tmp_path, model.state_dict(), wide))
    x, mask = torch.rand(1, 20, TINY.feature_dim), torch.ones(1, 20, dtype=torch.bool)
    found = build_model(weights, near)(x, mask).original.scores
    torch.testing.assert_close(found, model(x, mask).original.scores, rtol=0, atol=0)
    initialise(SnippetModel(TINY.feature_dim, 3, wide.model), weights)
    with pytest.raises(ValueError, match=r"model.dilation = 2, .* 1: .*--set 'model.dilation=2'"):
        initialise(SnippetModel(TINY.feature_dim, 3, near.model), weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, :-1].clone(), "a block of 12 columns"),
        (lambda x: x[:, :12].clone(), "as many before as after"),
        (lambda x: x[:, :0].clone(), "a block of 12 columns"),
        (lambda x: x[1:].clone(), "outer.0 must have shape"),
        (lambda x: x[0].clone(), "outer.0 must be a matrix"),
    ],
)
def test_a_ring_that_does_not_fit_is_named(tmp_path, change, message):
    state = several_kernels().state_dict()
    path = saved(tmp_path, state | {RING: change(state[RING])})
    with pytest.raises(ValueError, match=message):
        load_weights(path)


def test_a_ring_that_is_missing_is_named(tmp_path):
    state = dict(several_kernels().state_dict())
    state["feature_embedding.0.outer.9"] = state.pop(RING)
    with pytest.raises(ValueError, match=r"outer\.0 must be a matrix"):
        load_weights(saved(tmp_path, state))
