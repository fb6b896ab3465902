"""Records of runs, a JSON object a line: appended as runs end, never rewritten."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import BinaryIO


def read_records(path: str | Path) -> list[dict]:
    """All whole records, oldest first. A last line that a killed process left half is ignored.

    Raises:
        ValueError: another line is no record.
    """
    path = Path(path)
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last newline is torn
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or "status" not in record or "identity" not in record:
            raise ValueError(f"{path}, line {number}, is no record: remove that line")
        records.append(record)
    return records


def append_record(path: str | Path, record: dict) -> None:
    """In one write, brought to the disk. A torn last line is cut off first; several processes may
    append to one file."""
    line = json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _cut_torn_line(file)
        file.write(line)
        os.fsync(file.fileno())


def _cut_torn_line(file: BinaryIO) -> None:
    file.seek(0)
    content = file.read()
    if content and not content.endswith(b"\n"):
        file.truncate(content.rfind(b"\n") + 1)


def latest_by_identity(records: list[dict]) -> dict[str, dict]:
    """The last finished record of each identity (`identity_key`)."""
    finished = (record for record in records if record["status"] == "finished")
    return {identity_key(record["identity"]): record for record in finished}


def identity_key(identity: dict) -> str:
    """`Cell.identity` as a key of dicts: equal for equal ones, whatever the order of their keys."""
    return json.dumps(identity, sort_keys=True)
