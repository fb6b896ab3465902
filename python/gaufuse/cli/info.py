"""Version, compiler, CUDA architectures, devices, threads.

Paste its output into a bug report.
"""

from __future__ import annotations

import argparse
import json
import platform

import torch
from rich.console import Console
from rich.table import Table

from gaufuse_ext import build_info


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> None:
    info = build_info() | {"python": platform.python_version(), "machine": platform.platform()}
    if info["cuda_available"]:
        devices = range(torch.cuda.device_count())
        info["devices"] = [torch.cuda.get_device_name(device) for device in devices]
    if options.json:
        print(json.dumps(info, indent=1))
        return
    table = Table(show_header=False)
    for name, value in info.items():
        shown = ", ".join(value) if isinstance(value, list) else str(value)
        table.add_row(name.replace("_", " "), shown or "none")
    Console().print(table)
