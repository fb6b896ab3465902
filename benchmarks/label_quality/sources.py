"""Where scored segments with a ground truth come from."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from gaufuse.config import Config, TargetPhase, load_config
from gaufuse.data.dataset import Dataset, VideoSubset, load_dataset
from gaufuse.data.simulate import SimulationSettings, simulate
from gaufuse.localization.instances import find_proposals, groups_of
from gaufuse.model.rskp import SnippetModel
from gaufuse.training.run_folder import prepare_folder
from gaufuse.training.schedule import scaled
from gaufuse.training.trainer import Trainer
from gaufuse_ext.annotations import Segments, VideoAnnotation, load_ground_truth, load_predictions

THUMOS_SNIPPET_SECONDS = 0.64
DESED_SNIPPET_SECONDS = 0.1
QUICK_VIDEOS = 10


@dataclass(frozen=True)
class VideoClass:
    """One true class of one training video."""

    video: str
    label: str
    truth: np.ndarray  # (T,) bool: the snippet lies in an annotated instance
    segments: np.ndarray  # (N, 2) float64 proposals, in snippets
    scores: np.ndarray  # (N,) float64
    activations: np.ndarray | None = None  # (T,) the CAS that the proposals were made from


@dataclass(frozen=True)
class ProposalSource:
    name: str
    description: str
    groups: list[VideoClass]


@dataclass(frozen=True)
class Request:
    """What a source is made from."""

    data_root: Path | None
    quick: bool
    seed: int
    console: Console


def _thumos(videos: int | None) -> Callable[[str, Request], ProposalSource]:
    def load(name: str, request: Request) -> ProposalSource:
        folder = _data(request) / "thumos14"
        truth = load_ground_truth(folder / "gt.json", "train")
        proposals = load_predictions(folder / "proposals_weak_train.json.gz")
        chosen = [video for video in truth if video in proposals]
        chosen = chosen[: QUICK_VIDEOS if request.quick else videos]
        groups = [
            group
            for video in chosen
            for group in _groups_of_segments(
                video, truth[video], proposals[video], THUMOS_SNIPPET_SECONDS
            )
        ]
        return ProposalSource(
            name,
            f"THUMOS14, {len(chosen)} training videos: proposals of a weakly supervised model, "
            "after soft-NMS",
            groups,
        )

    return load


def _desed(name: str, request: Request) -> ProposalSource:
    """Sounds that a detector found at each of 50 thresholds, which are their scores."""
    folder = _data(request) / "desed_detections"
    truth = load_ground_truth(folder / "ground_truth.json.gz")
    proposals = load_predictions(folder / "detections_50_thresholds.json.gz")
    chosen = [video for video in truth if video in proposals]
    chosen = chosen[:QUICK_VIDEOS] if request.quick else chosen
    groups = [
        group
        for video in chosen
        for group in _groups_of_segments(
            video, truth[video], proposals[video], DESED_SNIPPET_SECONDS
        )
    ]
    return ProposalSource(
        name, f"DESED, {len(chosen)} sound clips: detections at 50 thresholds", groups
    )


def _trained(folder: str, title: str) -> Callable[[str, Request], ProposalSource]:
    def load(name: str, request: Request) -> ProposalSource:
        dataset = load_dataset(_data(request) / folder)
        what = f"{title}: CAS after the base phase"
        return _train(name, what, dataset, "general", request)

    return load


def _simulated(name: str, request: Request) -> ProposalSource:
    settings = SimulationSettings()
    if request.quick:
        settings = SimulationSettings(training_videos=12, testing_videos=2)
    with tempfile.TemporaryDirectory() as folder:
        simulate(folder, request.seed, settings)
        dataset = load_dataset(folder)  # its features stay there until they are asked for
        what = "simulated: CAS after the base phase"
        return _train(name, what, dataset, "simulated", request)


SOURCES: dict[str, Callable[[str, Request], ProposalSource]] = {
    "thumos60": _thumos(60),
    "thumos": _thumos(None),
    "desed": _desed,
    "gtea1": _trained("gtea_clips/split1", "GTEA clips, split1"),
    "gtea2": _trained("gtea_clips/split2", "GTEA clips, split2"),
    "shrec21": _trained("shrec21", "SHREC'21 gestures"),
    "shrec21_single": _trained("shrec21_single", "SHREC'21, single gestures"),
    "hapt": _trained("hapt_clips", "HAPT clips"),
    "simulated": _simulated,
}
NEED_DATA = tuple(name for name in SOURCES if name != "simulated")


def load_source(name: str, request: Request) -> ProposalSource:
    return SOURCES[name](name, request)


def _data(request: Request) -> Path:
    if request.data_root is None:
        raise ValueError("this source needs the real data: set GAUFUSE_DATA_ROOT to its folder")
    return request.data_root


def snippet_truth(
    annotation: VideoAnnotation, label: str, seconds: float, num_snippets: int
) -> np.ndarray:
    """(T,) bool. Boundaries are rounded to snippets, as the W-TALC protocol does."""
    truth = np.zeros(num_snippets, dtype=bool)
    own = [other == label for other in annotation.labels]
    for start, end in np.rint(annotation.segments[own] / seconds).astype(int):
        truth[max(0, start) : max(0, end)] = True
    return truth


def _groups_of_segments(
    video: str, annotation: VideoAnnotation, proposals: Segments, seconds: float
) -> list[VideoClass]:
    """A true class without any proposal counts too: its snippets are labelled zero."""
    # The ground truth has no durations: up to the last thing that is known of the video.
    last = max(
        float(proposals.segments.max(initial=0.0)), float(annotation.segments.max(initial=0.0))
    )
    num_snippets = math.ceil(round(last / seconds, 6))
    labels = np.array(proposals.labels, dtype=object)
    return [
        VideoClass(
            video,
            label,
            snippet_truth(annotation, label, seconds, num_snippets),
            # A boundary that was a whole snippet must stay one: 3 * 0.64 / 0.64 is not always 3.
            np.round(proposals.segments[labels == label] / seconds, 6),
            proposals.scores[labels == label],
        )
        for label in sorted(set(annotation.labels))
    ]


def _train(name: str, what: str, dataset: Dataset, preset: str, request: Request) -> ProposalSource:
    config = _base_phase(preset, request, len(dataset.training))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            dataset,
            config,
            prepare_folder(folder, resume=False, overwrite=False),
            torch.device("cpu"),
            request.console,
        )
        trainer.run()
    groups = _groups_of_model(trainer.model, dataset.training, config)
    videos, epochs = len(dataset.training), config.schedule.epochs
    return ProposalSource(
        name, f"{what} of preset {preset} ({epochs} epochs), {videos} training videos", groups
    )


def _base_phase(preset: str, request: Request, videos: int) -> Config:
    """The preset for so many videos, ending where its first labels are made: a run draws its random
    numbers by seed and epoch, so this is the very model that would make them. (A schedule must have
    a refresh: in epoch 1, with no target that uses its labels and the memory empty, it changes
    nothing.)"""
    whole = scaled(load_config(preset, [f"seed={request.seed}"]), videos)
    epochs = 4 if request.quick else whole.schedule.base_epochs
    only_base = {
        "epochs": epochs,
        "refresh": [1],
        "target": [TargetPhase(until=epochs, kind="none")],
    }
    return whole.model_copy(
        update={
            "schedule": whole.schedule.model_copy(update=only_base),
            "labels": whole.labels.model_copy(update={"classes": "known"}),
            "second_round": whole.second_round.model_copy(update={"rounds": 0}),
        }
    )


@torch.no_grad()
def _groups_of_model(model: SnippetModel, subset: VideoSubset, config: Config) -> list[VideoClass]:
    """Proposals of the CAS, before any fusion, as `make_labels` sees them."""
    model.eval()
    found = []
    for batch in subset.batches(config.data.batch_size):
        outputs = model(batch.features, batch.mask)
        groups = groups_of(outputs, batch, config.labels, config.loss.top_fraction)
        proposals = find_proposals(groups, config.labels)
        for g, (video, label) in enumerate(zip(groups.video, groups.label, strict=True)):
            name = subset.names[batch.videos[int(video)]]
            length, count = int(groups.lengths[g]), int(proposals.counts[g])
            own = subset.info.classes[int(label)]
            seconds = subset.snippet_seconds[batch.videos[int(video)]]
            found.append(
                VideoClass(
                    name,
                    own,
                    snippet_truth(subset.annotations[name], own, seconds, length),
                    proposals.segments[g, :count].double().numpy(),
                    proposals.scores[g, :count].double().numpy(),
                    groups.activations[g, :length].double().numpy(),
                )
            )
    return found
