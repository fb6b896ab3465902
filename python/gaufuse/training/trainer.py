"""The training loop: base phase, label refreshes, labels, delta labels (method sections 2, 5)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import torch
from rich.console import Console

from gaufuse.config import Config, TargetPhase, dump_config
from gaufuse.data.dataset import Batch, Dataset, VideoSubset
from gaufuse.labels.label_quality import label_quality
from gaufuse.labels.online_teacher import OnlineTeacher
from gaufuse.labels.pseudo_labels import LabelBank, LabelStatistics, make_labels, make_labels_by
from gaufuse.localization.detect import Detections, detect
from gaufuse.localization.evaluation import (
    detection_score,
    is_annotated,
    selection_metric,
    split_off,
    validation_score,
)
from gaufuse.model.checkpoint import (
    Checkpoint,
    checkpoints_in,
    latest_checkpoint,
    load_checkpoint,
    prune_checkpoints,
    replace_evaluations,
    save_checkpoint,
)
from gaufuse.model.class_memory import Candidates, ClassMemory
from gaufuse.model.fused_models import FusedModels, Localizer
from gaufuse.model.losses import SnippetTarget
from gaufuse.model.rskp import SnippetModel
from gaufuse.model.temporal_student import TemporalStudent
from gaufuse.training.divergence import not_finite
from gaufuse.training.results import chosen_of, metrics_of, phase_of, table_of
from gaufuse.training.run_folder import RunFolder, describe_run
from gaufuse.training.run_log import RunLog
from gaufuse.training.same_videos import check_same_videos, videos_of
from gaufuse.training.schedule import (
    phase_ends,
    refresh_index,
    target_at,
    value_at,
)
from gaufuse.training.second_round import (
    halves_of,
    new_student,
    student_config,
    student_epochs,
    train_student,
)
from gaufuse.training.step import TrainingStep, make_optimizer
from gaufuse.training.stop_signal import Stopped, StopRequest
from gaufuse.utils.console import ProgressLine, map_table
from gaufuse.utils.distributed import Share, World
from gaufuse.utils.files import write_json, write_text


class Trainer:
    """One run. Construct it, then `run()`; `resume()` before that goes on from a checkpoint.

    Random numbers are drawn from the seed and the epoch alone, so a resumed run repeats what an
    uninterrupted one does.
    """

    def __init__(
        self,
        dataset: Dataset,
        config: Config,
        folder: RunFolder,
        device: torch.device,
        console: Console,
        world: World | None = None,
    ):
        self.dataset = dataset
        self.world = world or World()
        self.training, self.testing = dataset.training, dataset.testing
        for subset in (self.training, self.testing):
            subset.prepare(config.data.workers, device)
        self.validation: VideoSubset | None = None  # training videos that only choose the epoch
        if config.selection.by == "validation":
            self.training, self.validation = split_off(self.training, config.selection)
        if config.selection.by == "test" and not is_annotated(self.testing):
            raise ValueError(
                'selection.by = "test": no test video has annotations; say "last" or "validation"'
            )
        self.config = config
        self.folder = folder
        self.device = device
        self.console = console
        torch.manual_seed(config.seed)
        info = dataset.info
        model = SnippetModel(info.feature_dim, len(info.classes), config.model).to(device)
        if config.data.standardize:
            model.standardize(*self.training.standardizer())
        self.model: Localizer = model
        self.optimizer = make_optimizer(model, config)
        dim = model.mu.shape[1]
        self.memory = ClassMemory(
            len(info.classes),
            config.memory.size,
            dim,
            device,
            config.release_quirks.memory_of_first_class,
        )
        self.labels = LabelBank()
        self.teacher = OnlineTeacher(config)
        self.step = TrainingStep(model, self.optimizer, self.memory, config, self.world)
        self.epoch = 0
        self.evaluations: list[dict[str, Any]] = []
        self._students = 0  # of the second round that are trained; the model is then the last one
        self._detections: tuple[int, Detections] | None = None  # of the test videos, after an epoch
        self._saved_at = time.monotonic()
        self._log = RunLog(None, 0, console)  # writes nothing; run() has another
        self._stop = StopRequest()

    @property
    def base(self) -> SnippetModel:
        """The base model, also where a student stands beside it."""
        return self.model.base if isinstance(self.model, FusedModels) else self.model

    def resume(self) -> None:
        """Goes on from the folder's latest checkpoint.

        Raises:
            FileNotFoundError, ValueError: there is none, or it is of another configuration, or the
                data set has changed since.
        """
        path = latest_checkpoint(self.folder.checkpoints)
        if path is None:
            raise FileNotFoundError(f"{self.folder.checkpoints} holds no checkpoint to go on from")
        state = load_checkpoint(path)
        if _but_root(state.config) != _but_root(self.config.model_dump(mode="json")):
            raise ValueError(
                f"{path} was made with another configuration ({self.folder.config}); resume with "
                "that one, or train into another folder"
            )
        info = self.dataset.info
        for what, before, now in (
            ("classes", state.classes, info.classes),
            ("feature_dim", state.feature_dim, info.feature_dim),
        ):
            if before != now:
                raise ValueError(
                    f"{path} was trained on a data set of other {what} than {info.root}: "
                    f"{before!s:.200}, not {now!s:.200}; bring it back, or train into "
                    "another folder"
                )
        if "videos" in state.training:  # not in checkpoints of earlier versions
            check_same_videos(path, state.training["videos"], self.training)
        self._load_training_state(state)

    def run(self) -> dict[str, Any]:
        """Trains to the last epoch and returns what metrics.json holds.

        Raises:
            Stopped: SIGTERM or Ctrl-C asked for an end (`StopRequest`); a checkpoint is there, with
                which a resumed run ends as this one would have.
            RuntimeError: the loss is not finite.
        """
        with StopRequest(tells=self.world.is_first) as self._stop:
            return self._run()

    def _run(self) -> dict[str, Any]:
        config = self.config
        started = time.monotonic()
        self._saved_at = started
        self.world.first_does(self._describe)
        ends = phase_ends(config)
        with RunLog(
            self.folder if self.world.is_first else None,
            self.epoch,
            self.console,
            [entry["epoch"] for entry in self.evaluations],
        ) as self._log:
            self._evaluate_if_cut_off(ends)
            self._train_model(ends)
            for student in range(self._students, config.second_round.rounds):
                self._train_student(student)
        metrics = self._write_results()
        if is_annotated(self.testing):
            rows = table_of(self.config, self.evaluations)
            self.console.print(map_table(rows, metrics["iou_thresholds"]))
        self.console.print(
            f"{time.monotonic() - started:.0f} s; metrics, predictions, checkpoints and log in "
            f"{self.folder.root}",
            soft_wrap=True,
        )
        return metrics

    def _describe(self) -> None:
        write_text(self.folder.config, dump_config(self.config))
        subsets = {"training": self.training, "testing": self.testing}
        if self.validation is not None:
            subsets["validation"] = self.validation
        describe_run(self.folder, self.device, subsets, self.epoch, self.world)

    def _train_model(self, phase_ends: set[int]) -> None:
        epochs = self.config.schedule.epochs
        with ProgressLine(self.console, "training", epochs, self.epoch) as progress:
            while self.epoch < epochs:
                self.epoch += 1
                losses = self._train_epoch()
                self._after_epoch(phase_ends)
                shown = " ".join(f"{name} {value:.3g}" for name, value in losses.items())
                progress.advance(shown)

    # One epoch

    def _train_epoch(self) -> dict[str, float]:
        config, epoch = self.config, self.epoch
        torch.manual_seed(config.seed * 1_000_003 + epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = value_at(config.optimizer.learning_rate, epoch)
        self.model.train()
        started = time.monotonic()
        order = torch.randperm(len(self.training)).tolist()
        if not self.world.is_first:  # the same order, another dropout
            torch.manual_seed((config.seed + self.world.rank) * 1_000_003 + epoch)
        totals: dict[str, torch.Tensor] = {}
        phase = target_at(config, epoch)
        for share, batch in self._shares(order):
            target = self._target(share, batch, phase)
            for name, loss in self.step(batch, target, epoch, share).items():
                totals[name] = totals.get(name, 0.0) + loss.detach().sum()
            if self.teacher.model is not None:
                self.teacher.follow(self.base)
        summed = self.world.sum(torch.stack(list(totals.values())).double()).tolist()
        losses = {name: total / len(order) for name, total in zip(totals, summed, strict=True)}
        if not all(map(math.isfinite, losses.values())):
            raise RuntimeError(not_finite(epoch, losses, self.training, self.folder.checkpoints))
        self._log.write(epoch, "losses", losses)
        seconds = time.monotonic() - started
        self._log.scalars(
            epoch, "time", {"epoch_seconds": seconds, "videos_per_second": len(order) / seconds}
        )
        return losses

    def _target(self, share: Share, batch: Batch, phase: TargetPhase) -> SnippetTarget | None:
        if share.count == 0 and phase.kind != "none":
            # The step has no video for this process: what stands in for one does not count.
            classes = batch.labels.shape[1]
            return SnippetTarget(batch.features.new_zeros(*batch.mask.shape, classes), 0.0)
        source = self.teacher if self.config.schedule.policy == "online" else self.labels
        return source.target(batch, phase)

    def _shares(self, videos: list[int]) -> Iterator[tuple[Share, Batch]]:
        """This process's share of each step, and its videos on the device."""
        shares = list(self.world.steps(videos, self.config.data.batch_size))
        batches = self.training.batches_of([share.videos for share in shares])
        for share, batch in zip(shares, batches, strict=True):
            yield share, batch.to(self.device)

    def _after_epoch(self, phase_ends: set[int]) -> None:
        config, epoch = self.config, self.epoch
        if epoch == config.memory.start:
            self._fill_memory()
        refresh = refresh_index(config, epoch)
        if refresh is not None:
            self._refresh_labels(refresh)
        if config.schedule.policy == "online":
            self._after_online_epoch()
        evaluated = self._evaluation_is_due(phase_ends)
        stop = self._stop_signal()
        if self.world.is_first and (stop or evaluated or self._checkpoint_is_due()):
            self._save()
        if evaluated and not stop:  # else a resumed run does it first
            self._evaluate()
            stop = self._stop_signal()
        if stop:
            raise Stopped(stop, f"after epoch {epoch}, with a checkpoint")

    def _stop_signal(self) -> int:
        """The signal that asked for an end, 0 for none; the same on all processes, which would
        otherwise wait for one that has left."""
        return max(self.world.gather(self._stop.number))

    def _evaluation_is_due(self, phase_ends: set[int]) -> bool:
        every = self.config.schedule.evaluate_every
        periodic = every > 0 and self.epoch % every == 0
        return self.epoch in phase_ends or periodic or self._students > 0

    def _checkpoint_is_due(self) -> bool:
        schedule = self.config.schedule
        minutes = (time.monotonic() - self._saved_at) / 60.0
        return self.epoch % schedule.checkpoint_every == 0 or (
            0.0 < schedule.checkpoint_minutes <= minutes
        )

    @torch.no_grad()
    def _fill_memory(self) -> None:
        self.model.eval()
        videos = list(range(len(self.training)))
        for share, batch in self._shares(videos):
            outputs = self.model(batch.features, batch.mask, lengths=batch.sizes, classwise=False)
            self.step.remember(Candidates.of(outputs), batch.labels, share)

    def _refresh_labels(self, refresh: int) -> None:
        labels, statistics = make_labels(
            self.model,
            self.training,
            self.config,
            refresh,
            self.device,
            self.labels.current,
            self.world,
        )
        self._report_labels(f"labels {refresh + 1}", statistics)
        self._log_label_quality(labels, self.epoch)
        self.labels.replace(labels)
        self.memory.clear()

    def _after_online_epoch(self) -> None:
        if self.epoch == self.config.schedule.base_epochs:
            self.teacher.start(self.base)
            self.memory.clear()  # as at any first labels
        elif target_at(self.config, self.epoch).kind != "none":
            self._report_labels("online labels", self.teacher.end_epoch(self.world))

    def _report_labels(
        self, name: str, statistics: LabelStatistics, epoch: int | None = None
    ) -> None:
        """epoch: what the record is of; this one by default."""
        self._log.write(epoch or self.epoch, "refresh", asdict(statistics))
        self.console.print(
            f"epoch {self.epoch}: {name}: coverage {statistics.coverage:.1%}, "
            f"confidence {statistics.confidence:.3f}, change {statistics.change:.4f}, "
            f"{statistics.instances:.1f} instances a class and video, "
            f"LinPro residual {statistics.residual:.4f} an instance, "
            f"{statistics.relaxed} relaxed",
            soft_wrap=True,
        )

    def _log_label_quality(self, labels: list[torch.Tensor], epoch: int) -> None:
        """Of labels that the bank does not have yet. For those who read the log: segments of
        training videos teach and choose nothing."""
        if self.world.is_first:
            quality = label_quality(labels, self.training, self.labels.current)
            if quality is not None:
                self._log.write(epoch, "label_quality", asdict(quality))

    # The second round

    def _train_student(self, student: int) -> None:
        """On the labels that the model makes now; base model and student take its place."""
        labels = self._student_labels(student)
        everyone = list(range(len(labels)))
        new = self._trained_student(student, labels, everyone, f"student {student + 1}")
        self.model = FusedModels(self.base, new, self.config).eval()
        self._students += 1
        self.epoch += student_epochs(self.config, len(labels))
        if self.world.is_first:
            self._save()
        self._evaluate()

    def _trained_student(
        self, student: int, labels: list[torch.Tensor], videos: list[int], name: str
    ) -> TemporalStudent:
        """One that has learned these videos; of all videos, its losses are logged."""
        config, first = self.config, self.epoch
        torch.manual_seed(config.seed * 1_000_003 + first)
        new = new_student(self.training, config, self.device)
        epochs = student_epochs(config, len(videos))
        is_whole = len(videos) == len(labels)
        with ProgressLine(self.console, name, epochs) as progress:

            def after_epoch(epoch: int, loss: float) -> None:
                if is_whole:
                    self._log.write(first + epoch, "losses", {"student": loss})
                progress.advance(f"loss {loss:.3g}")
                stop = self._stop_signal()
                if stop and not (is_whole and epoch == epochs):  # half a student is not kept
                    raise Stopped(stop, f"in a student, with the checkpoint of epoch {first}")

            seed = config.seed * 100 + student
            train_student(new, labels, videos, self._shares, config, seed, self.world, after_epoch)
        return new

    def _student_labels(self, student: int) -> list[torch.Tensor]:
        everyone = list(range(len(self.training)))
        labels = self._labels_by([(self.model, everyone)], self._path, f"student {student + 1}")
        self.labels.replace(labels)
        if self.config.second_round.across:
            labels = self._labels_across(labels, student)
            self.labels.replace(labels)
        return labels

    def _labels_across(self, labels: list[torch.Tensor], student: int) -> list[torch.Tensor]:
        """Those of each half of the videos, by base model and a student of the other half."""
        name = f"student {student + 1}"
        models: list[tuple[Localizer, list[int]]] = []
        halves = halves_of(len(labels), self.config.seed)
        for number, (own, others) in enumerate(zip(halves, reversed(halves), strict=True), start=1):
            new = self._trained_student(student, labels, others, f"{name}, half {number}")
            models.append((FusedModels(self.base, new, self.config).eval(), own))
        return self._labels_by(models, student_config(self.config), f"{name}, across")

    def _labels_by(
        self, models: Sequence[tuple[Localizer, list[int]]], path: Config, name: str
    ) -> list[torch.Tensor]:
        labels, statistics = make_labels_by(
            models,
            self.training,
            path,
            len(self.config.schedule.refreshes),
            self.device,
            self.labels.current,
            self.world,
        )
        self._report_labels(f"labels of {name}", statistics, self.epoch + 1)
        self._log_label_quality(labels, self.epoch + 1)
        return labels

    # Evaluation and files

    @property
    def _path(self) -> Config:
        """How activations of the model as it is now become labels and detections."""
        return self._path_of(self._students)

    def _path_of(self, students: int) -> Config:
        return student_config(self.config) if students else self.config

    def _evaluate(self) -> None:
        detections = detect(self.model, self.testing, self._path, self.device, self.world)
        entry: dict[str, Any] = {
            "epoch": self.epoch,
            "phase": phase_of(self.config, self.epoch, len(self.training)),
            "map": None,
            "average_map": None,
        }
        note = "no mAP, since no test video has annotations"
        if is_annotated(self.testing):
            score = detection_score(detections, self.testing, self.config)
            entry |= {"map": score.map, "average_map": score.average_map}
            note = f"average mAP {score.average_map:.2f}"
        if self.validation is not None:
            entry["validation"] = validation_score(
                self.model, self.validation, self._path, self.device, self.world
            )
            metric = selection_metric(self.config.selection, self.validation)
            note += f", {metric} mAP of the validation videos {entry['validation']:.2f}"
        self.evaluations.append(entry)
        self._detections = (self.epoch, detections)
        self._log.write(self.epoch, "evaluation", {k: v for k, v in entry.items() if k != "epoch"})
        self.console.print(f"epoch {self.epoch}: {note}", soft_wrap=True)
        if self.world.is_first:
            self._log.sync()
            replace_evaluations(
                checkpoints_in(self.folder.checkpoints)[self.epoch], self.evaluations
            )
            self._prune()

    def _evaluate_if_cut_off(self, phase_ends: set[int]) -> None:
        """A checkpoint is there before its epoch is evaluated: a run may have ended between."""
        done = {entry["epoch"] for entry in self.evaluations}
        if self.epoch and self.epoch not in done and self._evaluation_is_due(phase_ends):
            self._evaluate()

    def _write_results(self) -> dict[str, Any]:
        metrics = metrics_of(self.config, self.evaluations)
        results = self._detections_after(metrics["chosen_epoch"])

        def write() -> None:
            write_json(self.folder.predictions, {"version": "gaufuse", "results": results})
            write_json(self.folder.metrics, metrics)  # last: it says that the run has ended

        self.world.first_does(write)
        return metrics

    def _detections_after(self, epoch: int) -> Detections:
        if self._detections is not None and self._detections[0] == epoch:
            return self._detections[1]
        model, path = self.model, self._path
        if epoch != self.epoch:
            state = load_checkpoint(checkpoints_in(self.folder.checkpoints)[epoch])
            model, path = self._model_of(state), self._path_of(state.training["students"])
        return detect(model, self.testing, path, self.device, self.world)

    def _model_of(self, state: Checkpoint) -> Localizer:
        info = self.dataset.info
        base = SnippetModel(info.feature_dim, len(info.classes), self.config.model)
        model: Localizer = base
        if state.training["students"]:
            # Its standardisation comes with its weights.
            second = self.config.second_round
            student = TemporalStudent(info.feature_dim, len(info.classes), second)
            model = FusedModels(base, student, self.config).eval()
        model.load_state_dict(state.model)
        return model.to(self.device)

    def _training_state(self) -> dict[str, Any]:
        """All that a run needs to go on but the weights. Random numbers are not among it: they are
        drawn anew, from the seed and the epoch, at the start of each epoch."""
        state: dict[str, Any] = {
            "students": self._students,
            "labels": self.labels.state_dict(),
            "videos": videos_of(self.training),
        }
        if not self._students:
            state["optimizer"] = self.optimizer.state_dict()
            state["memory"] = self.memory.state_dict()
            state["teacher"] = self.teacher.state_dict()
        return state

    def _load_training_state(self, state: Checkpoint) -> None:
        self.epoch = state.epoch
        self.evaluations = state.evaluations
        self.labels.load_state_dict(state.training["labels"])
        self._students = state.training["students"]
        if self._students:
            self.model = self._model_of(state)
            return
        self.model.load_state_dict(state.model)
        self.optimizer.load_state_dict(state.training["optimizer"])
        self.memory.load_state_dict(state.training["memory"])
        self.teacher.load_state_dict(state.training["teacher"], self.base)

    def _save(self) -> None:
        self._log.sync()
        info = self.dataset.info
        save_checkpoint(
            self.folder.checkpoints,
            Checkpoint(
                config=self.config.model_dump(mode="json"),
                classes=info.classes,
                feature_dim=info.feature_dim,
                epoch=self.epoch,
                model=self.model.state_dict(),
                evaluations=self.evaluations,
                training=self._training_state(),
            ),
        )
        self._prune()
        self._saved_at = time.monotonic()

    def _prune(self) -> None:
        chosen = chosen_of(self.config, self.evaluations)["epoch"] if self.evaluations else None
        prune_checkpoints(
            self.folder.checkpoints, self.config.schedule.checkpoints_kept, also=chosen
        )


def _but_root(config: dict[str, Any]) -> dict[str, Any]:
    """A data set that has moved, or is read in another way, is still the same one."""
    same = {"root": None, "workers": None, "in_memory": None}
    return config | {"data": config.get("data", {}) | same}
