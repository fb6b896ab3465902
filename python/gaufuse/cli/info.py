"""Version, compiler, CUDA architectures, devices, threads.

Paste its output into a bug report.
"""

from __future__ import annotations

import argparse
import json
import platform

import torch
from rich.table import Table

from gaufuse.utils.console import make_console
from gaufuse_ext import build_info


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> None:
    info: dict[str, object] = {
        **build_info(),
        "python": platform.python_version(),
        "machine": platform.platform(),
    }
    if info["cuda_available"]:
        devices = range(torch.cuda.device_count())
        info["devices"] = [torch.cuda.get_device_name(device) for device in devices]
    if options.json:
        print(json.dumps(info, indent=1))
        return
    table = Table(show_header=False, box=None)
    table.add_column(overflow="fold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in info.items():
        shown = ", ".join(value) if isinstance(value, list) else str(value)
        table.add_row(name.replace("_", " "), shown or "none")
    make_console().print(table)
