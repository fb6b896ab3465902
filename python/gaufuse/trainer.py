"""The training loop: base phase, label refreshes, labels, delta labels (method sections 2, 5)."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console

import gaufuse_ext as gx
from gaufuse import report
from gaufuse.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from gaufuse.config import Config, dump_config
from gaufuse.dataset import Batch, Dataset
from gaufuse.detect import detect
from gaufuse.files import ensure_writable_folder, write_json, write_text
from gaufuse.labels import LabelBank, make_labels
from gaufuse.losses import LossWeights, step_losses
from gaufuse.memory import ClassMemory
from gaufuse.model import SnippetModel
from gaufuse.schedule import (
    label_weight_at,
    phase_ends,
    refresh_index,
    target_at,
    value_at,
)


@dataclass(frozen=True)
class RunFolder:
    """Where a run's files are."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    @property
    def checkpoint(self) -> Path:
        return self.root / "checkpoint.pt"

    @property
    def log(self) -> Path:
        return self.root / "log.jsonl"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.json"

    @property
    def predictions(self) -> Path:
        return self.root / "predictions.json"


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
    ):
        self.dataset = dataset
        self.config = config
        self.folder = folder
        self.device = device
        self.console = console
        torch.manual_seed(config.seed)
        info = dataset.info
        self.model = SnippetModel(info.feature_dim, len(info.classes), config.model).to(device)
        if config.data.standardize:
            mean, scale = dataset.training.standardizer()
            self.model.feature_mean.copy_(mean)
            self.model.feature_scale.copy_(scale)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=value_at(config.optimizer.learning_rate, 1),
            betas=config.optimizer.betas,
            weight_decay=config.optimizer.weight_decay,
        )
        dim = self.model.mu.shape[1]
        self.memory = ClassMemory(len(info.classes), config.memory.size, dim, device)
        self.labels = LabelBank()
        self.epoch = 0
        self.evaluations: list[dict] = []
        self._records: list[dict] = []
        self._tensorboard = _tensorboard(folder.root, console)

    def resume(self) -> None:
        """Goes on from the folder's checkpoint.

        Raises:
            FileNotFoundError, ValueError: there is none, or it is of another configuration.
        """
        state = load_checkpoint(self.folder.checkpoint)
        if _but_root(state.config) != _but_root(self.config.model_dump(mode="json")):
            raise ValueError(
                f"{self.folder.checkpoint} was made with another configuration "
                f"({self.folder.config}); resume with that one, or train into another folder"
            )
        if state.classes != self.dataset.info.classes:
            raise ValueError(f"{self.folder.checkpoint} was trained on other classes")
        self.model.load_state_dict(state.model)
        self.optimizer.load_state_dict(state.optimizer)
        self.memory.load_state_dict(state.memory)
        self.labels.load_state_dict(state.labels)
        self.epoch = state.epoch
        self.evaluations = state.evaluations
        if self.folder.log.is_file():
            records = map(json.loads, self.folder.log.read_text().splitlines())
            self._records = [record for record in records if record["epoch"] <= self.epoch]

    def run(self) -> dict:
        """Trains to the last epoch and returns what metrics.json holds."""
        config = self.config
        write_text(self.folder.config, dump_config(config))
        started = time.monotonic()
        ends = phase_ends(config)
        with report.ProgressLine(
            self.console, "training", config.schedule.epochs, self.epoch
        ) as progress:
            while self.epoch < config.schedule.epochs:
                self.epoch += 1
                losses = self._train_epoch()
                self._after_epoch(ends)
                shown = " ".join(f"{name} {value:.3g}" for name, value in losses.items())
                progress.advance(shown)
        metrics = self._metrics()
        self._write_predictions()
        write_json(self.folder.metrics, metrics)
        if self._tensorboard is not None:
            self._tensorboard.close()
        self.console.print(report.map_table(self._table(), metrics["iou_thresholds"]))
        self.console.print(
            f"{time.monotonic() - started:.0f} s; metrics, predictions, checkpoint and log in "
            f"{self.folder.root}",
            soft_wrap=True,
        )
        return metrics

    # One epoch

    def _train_epoch(self) -> dict[str, float]:
        config, epoch = self.config, self.epoch
        torch.manual_seed(config.seed * 1_000_003 + epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = value_at(config.optimizer.learning_rate, epoch)
        self.model.train()
        order = torch.randperm(len(self.dataset.training)).tolist()
        totals: dict[str, torch.Tensor] = {}
        for batch in self.dataset.training.batches(config.data.batch_size, order):
            for name, loss in self._step(batch.to(self.device)).items():
                totals[name] = totals.get(name, 0.0) + loss.detach().sum()
        losses = {name: float(total) / len(order) for name, total in totals.items()}
        if not all(map(torch.isfinite, map(torch.tensor, losses.values()))):
            raise RuntimeError(
                f"the loss is not finite in epoch {epoch}: {losses}; lower the learning rate. "
                f"{self.folder.checkpoint} holds the last good state"
            )
        self._log("losses", losses)
        return losses

    def _step(self, batch: Batch) -> dict[str, torch.Tensor]:
        config, epoch = self.config, self.epoch
        remembering = epoch > config.memory.start
        recalled = remembered = None
        if remembering:
            recalled = self.memory.recall(batch.labels, batch.most_labels)
            remembered = recalled[1].any(1)
        outputs = self.model(batch.features, batch.mask, recalled)
        losses = step_losses(
            outputs,
            batch.labels,
            batch.mask,
            remembered,
            self.labels.target(batch, target_at(config, epoch)),
            config.loss,
            LossWeights(
                spl=value_at(config.loss.spl_weight, epoch), label=label_weight_at(config, epoch)
            ),
        )
        per_video = torch.stack(list(losses.values())).sum(0)
        total = per_video.sum() if config.optimizer.gradient == "sum" else per_video.mean()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer.step()
        if remembering:
            self.memory.update(outputs, batch.labels)
        return losses

    def _after_epoch(self, phase_ends: set[int]) -> None:
        config, epoch = self.config, self.epoch
        if epoch == config.memory.start:
            self._fill_memory()
        every = config.schedule.evaluate_every
        if epoch in phase_ends or (every and epoch % every == 0):
            self._evaluate()
        refresh = refresh_index(config, epoch)
        if refresh is not None:
            self._refresh_labels(refresh)
        last = epoch == config.schedule.epochs
        if epoch % config.schedule.checkpoint_every == 0 or epoch in phase_ends or last:
            self._write_log()
            self._save()

    @torch.no_grad()
    def _fill_memory(self) -> None:
        self.model.eval()
        for batch in self.dataset.training.batches(self.config.data.batch_size):
            batch = batch.to(self.device)
            self.memory.update(self.model(batch.features, batch.mask), batch.labels)

    def _refresh_labels(self, refresh: int) -> None:
        labels, statistics = make_labels(
            self.model,
            self.dataset.training,
            self.config,
            refresh,
            self.device,
            self.labels.current,
        )
        self.labels.replace(labels)
        self.memory.clear()
        self._log("refresh", asdict(statistics))
        self.console.print(
            f"epoch {self.epoch}: labels {refresh + 1}: coverage {statistics.coverage:.1%}, "
            f"confidence {statistics.confidence:.3f}, change {statistics.change:.4f}, "
            f"{statistics.instances:.1f} instances a class and video, "
            f"{statistics.relaxed} relaxed",
            soft_wrap=True,
        )

    # Evaluation and files

    def _evaluate(self) -> None:
        evaluation = self.config.evaluation
        result = gx.detection_map(
            {"results": detect(self.model, self.dataset.testing, self.config, self.device)},
            {"database": self.dataset.testing.annotations},
            gx.threshold_range(*evaluation.iou_thresholds),
            evaluation.protocol,
        )
        entry = {
            "epoch": self.epoch,
            "map": result.map.tolist(),
            "average_map": result.average_map,
        }
        self.evaluations.append(entry)
        self._log("evaluation", {"average_map": result.average_map, "map": entry["map"]})
        self.console.print(f"epoch {self.epoch}: average mAP {result.average_map:.2f}")

    def _metrics(self) -> dict:
        base = next(e for e in self.evaluations if e["epoch"] == self.config.schedule.base_epochs)
        final = self.evaluations[-1]
        thresholds = gx.threshold_range(*self.config.evaluation.iou_thresholds)
        return {
            "map": final["map"],
            "average_map": final["average_map"],
            "iou_thresholds": [round(threshold, 6) for threshold in thresholds],
            "base_map": base["map"],
            "base_average_map": base["average_map"],
            "protocol": self.config.evaluation.protocol,
            "epochs": self.epoch,
            "evaluations": self.evaluations,
        }

    def _table(self) -> list[tuple[str, list[float], float]]:
        names = {"none": "base model", "labels": "pseudo labels", "delta": "delta labels"}
        return [
            (
                f"{names[target_at(self.config, entry['epoch']).kind]}, epoch {entry['epoch']}",
                entry["map"],
                entry["average_map"],
            )
            for entry in self.evaluations
        ]

    def _write_predictions(self) -> None:
        results = detect(self.model, self.dataset.testing, self.config, self.device)
        write_json(self.folder.predictions, {"version": "gaufuse", "results": results})

    def _save(self) -> None:
        info = self.dataset.info
        save_checkpoint(
            self.folder.checkpoint,
            Checkpoint(
                config=self.config.model_dump(mode="json"),
                classes=info.classes,
                feature_dim=info.feature_dim,
                epoch=self.epoch,
                model=self.model.state_dict(),
                optimizer=self.optimizer.state_dict(),
                memory=self.memory.state_dict(),
                labels=self.labels.state_dict(),
                evaluations=self.evaluations,
            ),
        )

    def _log(self, kind: str, values: dict) -> None:
        self._records.append({"epoch": self.epoch, "kind": kind, **values})
        if self._tensorboard is None:
            return
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._tensorboard.add_scalar(f"{kind}/{name}", value, self.epoch)

    def _write_log(self) -> None:
        write_text(self.folder.log, "".join(json.dumps(record) + "\n" for record in self._records))


def _but_root(config: dict) -> dict:
    """A data set that has moved is still the same one."""
    return config | {"data": config.get("data", {}) | {"root": None}}


def _tensorboard(root: Path, console: Console):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        console.print("TensorBoard is not installed: the log is in log.jsonl only")
        return None
    return SummaryWriter(str(root / "tensorboard"))


def prepare_folder(root: str | Path, resume: bool, overwrite: bool) -> RunFolder:
    """The run's folder, made and tried.

    Raises:
        ValueError: it holds a run already and neither resume nor overwrite was asked for, or it
            cannot be written to.
    """
    folder = RunFolder(ensure_writable_folder(root))
    if folder.checkpoint.exists() and not (resume or overwrite):
        raise ValueError(
            f"{folder.root} holds a run already; go on with --resume, replace it with --overwrite, "
            "or name another folder"
        )
    return folder
