"""Boundaries of detections, in seconds."""

from __future__ import annotations

import torch

import gaufuse_ext as gx
from gaufuse.data.dataset import load_dataset
from gaufuse.localization import detect as module
from gaufuse.localization.instances import ActivationGroups
from gaufuse.model.rskp import SnippetModel
from training_setups import short_config, tiny_dataset

SNIPPETS = [27.0, 207.0]  # of 0.64 s


def test_whole_snippets_are_as_many_seconds_as_float64_can_say(tmp_path, monkeypatch):
    """The W-TALC evaluation truncates to snippets. In float32, where 0.64 is a little less, three
    of four whole snippets would be truncated to the one before."""
    dataset = load_dataset(tiny_dataset(tmp_path / "data"))
    videos = dataset.testing.select([0])
    videos.snippet_seconds = [0.64]
    zero = torch.zeros(1, dtype=torch.int64)
    one = torch.ones(1, 1)

    def groups_of(*_: object) -> ActivationGroups:
        return ActivationGroups(zero, zero, torch.ones(1), torch.rand(1, 300), torch.tensor([300]))

    def find_instances(*_: object) -> gx.FusedSegments:
        return gx.FusedSegments(torch.tensor([[SNIPPETS]]), one, zero + 1, one.long(), one)

    monkeypatch.setattr(module, "groups_of", groups_of)
    monkeypatch.setattr(module, "find_instances", find_instances)
    config = short_config()
    model = SnippetModel(12, 3, config.model)
    (found,) = module.detect(model, videos, config, torch.device("cpu")).values()
    assert found[0]["segment"] == [count * 0.64 for count in SNIPPETS]
