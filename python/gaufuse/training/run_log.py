"""What happens in a run, as it happens: log.jsonl and TensorBoard."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console

from gaufuse.training.run_folder import RunFolder
from gaufuse.utils.files import write_text
from gaufuse.utils.write_error import naming
from gaufuse_ext.annotations import parse_json

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class RunLog:
    """Appends records; what a run that goes on will do again is removed first.

    Only what a repeated run repeats is in log.jsonl; times go to TensorBoard.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        epoch: int,
        console: Console,
        evaluated: Collection[int] | None = None,
    ):
        """Args:
        folder: None for a process that does not write.
        epoch: the finished epochs; records of later ones are of a run that was cut off.
        evaluated: the epochs whose evaluation is over, where not all are: an evaluation that
            was cut off is done again.
        """
        self._folder = folder
        self._hook = threading.excepthook
        self._file: TextIO | None = None
        self._tensorboard: SummaryWriter | None = None
        if folder is not None:
            write_text(folder.log, _records_up_to(folder.log, epoch, evaluated))
            self._file = folder.log.open("a")
            threading.excepthook = _once
            self._tensorboard = _tensorboard(folder.tensorboard, epoch, console)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._folder is not None and self._file is not None:
                with naming(self._folder.log):
                    self._file.close()
            if self._folder is not None and self._tensorboard is not None:
                with naming(self._folder.tensorboard):
                    self._tensorboard.close()
        finally:
            threading.excepthook = self._hook

    def write(self, epoch: int, kind: str, values: Mapping[str, object]) -> None:
        """A line of log.jsonl, and the numbers in it to TensorBoard.

        Raises:
            WriteError: the file cannot be written.
        """
        if self._folder is not None and self._file is not None:
            with naming(self._folder.log):
                self._file.write(json.dumps({"epoch": epoch, "kind": kind, **values}) + "\n")
                self._file.flush()
        self.scalars(epoch, kind, values)

    def scalars(self, epoch: int, kind: str, values: Mapping[str, object]) -> None:
        """To TensorBoard alone."""
        if self._folder is None or self._tensorboard is None:
            return
        for name, value in values.items():
            if isinstance(value, (int, float)):
                with naming(self._folder.tensorboard):
                    self._tensorboard.add_scalar(f"{kind}/{name}", value, epoch)

    def sync(self) -> None:
        """To the disk: before a checkpoint says that these epochs are over."""
        if self._folder is not None and self._file is not None:
            with naming(self._folder.log):
                os.fsync(self._file.fileno())


def _records_up_to(path: Path, epoch: int, evaluated: Collection[int] | None) -> str:
    """The whole lines of the log up to an epoch: a killed process may have left half of one."""
    if epoch == 0 or not path.is_file():
        return ""
    kept = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            record: Any = parse_json(line)
            again = (
                evaluated is not None
                and record["kind"] == "evaluation"
                and record["epoch"] not in evaluated
            )
            if record["epoch"] <= epoch and not again:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue
    return "".join(kept)


def _tensorboard(folder: Path, epoch: int, console: Console) -> SummaryWriter | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        console.print("TensorBoard is not installed: the log is in log.jsonl only")
        return None
    with naming(folder):
        return SummaryWriter(str(folder), purge_step=epoch + 1)


def _once(failed: threading.ExceptHookArgs) -> None:
    """What its thread cannot write, TensorBoard's next call raises: no traceback besides."""
    if not isinstance(failed.exc_value, OSError):
        threading.__excepthook__(failed)
