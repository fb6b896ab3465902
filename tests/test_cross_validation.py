"""Folds of the training videos, to choose settings without test videos."""

from __future__ import annotations

import pytest

from gaufuse.data.dataset import cross_validated, load_dataset
from training_setups import short_config, tiny_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load_dataset(tiny_dataset(tmp_path_factory.mktemp("folds") / "data"))


def folds_of(dataset, folds: int, group: str | None = None):
    settings = [f"data.folds={folds}", *([f"data.fold_group='{group}'"] if group else [])]
    return [
        cross_validated(dataset, short_config(*settings, f"data.fold={fold}").data)
        for fold in range(folds)
    ]


def test_each_training_video_is_tested_once_and_test_videos_never(dataset):
    folds = folds_of(dataset, 3)
    tested = [name for fold in folds for name in fold.testing.names]
    assert sorted(tested) == sorted(dataset.training.names)
    assert not set(tested) & set(dataset.testing.names)
    for fold in folds:
        assert len(fold.testing) == 3  # of nine
        assert sorted(fold.training.names + fold.testing.names) == sorted(dataset.training.names)


def test_videos_of_a_group_share_a_fold(dataset):
    # Two groups, told apart by how much of the name matches: videos 0 to 4 and 5 to 8.
    folds = folds_of(dataset, 2, r"training_00(?=0[0-4])|training_0(?=00[5-8])")
    tested = [[int(name[-4:]) for name in fold.testing.names] for fold in folds]
    assert tested == [[0, 1, 2, 3, 4], [5, 6, 7, 8]]


def test_one_fold_is_the_data_set_itself(dataset):
    assert cross_validated(dataset, short_config().data) is dataset


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["data.folds=3", "data.fold=3"], r"fold must be less than folds \(3\), got 3"),
        (["data.fold_group='('"], "is not a regular expression"),
    ],
)
def test_impossible_folds_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        short_config(*settings)


@pytest.mark.parametrize(
    ("group", "message"),
    [("training", "make 1 groups"), ("validation", "matches no start of 'training_0000'")],
)
def test_groups_that_do_not_fit_the_videos_are_refused(dataset, group, message):
    config = short_config("data.folds=2", f"data.fold_group='{group}'")
    with pytest.raises(ValueError, match=message):
        cross_validated(dataset, config.data)
