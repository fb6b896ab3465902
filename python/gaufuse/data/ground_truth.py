"""Ground truth in any of the forms that the commands accept."""

from __future__ import annotations

from pathlib import Path

from gaufuse.data.dataset import annotation_files
from gaufuse.data.segment_tables import read_segment_table
from gaufuse.data.wtalc_annotations import is_wtalc_folder, load_wtalc_annotations
from gaufuse_ext.annotations import VideoAnnotation, choose_subset, load_ground_truth


def load_any_ground_truth(
    source: str | Path, subset: str | None = None
) -> dict[str, VideoAnnotation]:
    """ActivityNet-style JSON, CSV (.csv), a W-TALC annotation folder, or a data set folder with
    annotations.json.

    Raises:
        FileNotFoundError, ValueError: with the path and what is wrong.
    """
    source = Path(source)
    if is_wtalc_folder(source):
        return load_ground_truth(load_wtalc_annotations(source), subset)
    if source.is_dir():
        source = next(filter(Path.is_file, annotation_files(source)), source)
    if source.name.lower().removesuffix(".gz").endswith(".csv"):
        videos = read_segment_table(source, scored=False).annotations()
        return videos if subset is None else choose_subset(videos, subset, str(source))
    return load_ground_truth(source, subset)
