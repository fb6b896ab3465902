"""`gaufuse report`: one well-formed page that loads nothing, and in which names are only names."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from gaufuse.cli.main import main
from gaufuse.report.page import script_json
from gaufuse.report.video_choice import best_median_worst, most_different
from training_setups import SHORT, tiny_dataset

pytest.importorskip("bokeh")

SETTINGS = [word for setting in SHORT for word in ("--set", setting)]
CLASSES = ["</script><script>alert(1)</script>", "<img src=x onerror=alert(2)> & $$x$$", "c\"'"]
VIDEO = "<b>video & 'co'\" {{ 7 * 7 }}"
VOID = {"meta", "img", "br", "input", "link", "hr"}


class Page(HTMLParser):
    """Elements of a page, which must be closed in the order in which they were opened."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.append((self.open[-1], data))

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]

    def words(self, *tags: str) -> list[str]:
        return [text.strip() for tag, text in self.texts if tag in tags]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """A data set with hostile names, and two runs on it."""
    folder = tmp_path_factory.mktemp("report")
    data = tiny_dataset(folder / "data")
    annotations = (data / "annotations.json").read_text()
    for i, label in enumerate(CLASSES):
        annotations = annotations.replace(f'"action_{i}"', json.dumps(label))
    table = json.loads(annotations)
    database = table["database"]
    old = next(name for name, entry in database.items() if entry["subset"] == "testing")
    database[VIDEO] = database.pop(old)
    (data / "features" / f"{old}.npy").rename(data / "features" / f"{VIDEO}.npy")
    (data / "annotations.json").write_text(json.dumps(table))
    toml = (data / "dataset.toml").read_text()
    for i, label in enumerate(CLASSES):
        toml = toml.replace(f'"action_{i}"', json.dumps(label))
    (data / "dataset.toml").write_text(toml)
    names = {"first": [], "control": ["--control"]}
    for name, more in names.items():
        output = str(folder / name)
        assert (
            main(["train", str(data), "-o", output, "--config", "simulated", *SETTINGS, *more]) == 0
        )
    return {name: folder / name for name in ("data", *names)}


@pytest.fixture(scope="module")
def page(runs) -> str:
    output = runs["data"].parent / "two.html"
    assert main(["report", str(runs["control"]), str(runs["first"]), "-o", str(output)]) == 0
    return output.read_text()


def test_the_page_is_well_formed_and_loads_nothing(page):
    parsed = Page(page)
    for tag, attributes in parsed.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base"), tag
        assert not {"src", "srcset", "data", "action", "onerror", "onload"} & attributes.keys(), tag
        if "href" in attributes:
            assert attributes["href"].startswith("#")
    (policy,) = [own["content"] for own in parsed.all("meta") if "http-equiv" in own]
    assert policy.startswith("default-src 'none'")
    style = "".join(parsed.words("style"))
    assert "url(" not in style
    assert "@import" not in style
    assert len(page.encode()) < 5_000_000


def test_names_are_only_names(page):
    parsed = Page(page)
    assert CLASSES[0] in parsed.words("th", "td")
    assert CLASSES[1] in parsed.words("th", "td")
    assert VIDEO in parsed.words("th")
    assert not parsed.all("b")
    assert not parsed.all("img")
    assert len(parsed.all("script")) == 5  # bokeh, three of data, ours


def test_figures_carry_the_names_as_plain_text(page):
    items = json.loads(re.search(r'id="items">(.*?)</script>', page)[1])
    texts = [model["attributes"]["text"] for model in models(items) if model["name"] == "PlainText"]
    assert CLASSES[0] in texts
    assert CLASSES[1] in texts  # Bokeh would read a bare $$x$$ as a formula


def models(value) -> list[dict]:
    """All of Bokeh's objects in a figure."""
    found = []
    if isinstance(value, dict):
        if value.get("type") == "object" and "attributes" in value:
            found.append(value)
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            found += models(entry)
    return found


def test_it_can_be_read_without_seeing(page):
    parsed = Page(page)
    ids = [own["id"] for _, own in parsed.elements if "id" in own]
    assert len(set(ids)) == len(ids)
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert [tag for tag, _ in parsed.elements if tag in ("header", "nav", "main", "footer")] == [
        *("header", "nav", "main", "footer")
    ]
    assert parsed.all("html") == [{"lang": "en"}]
    assert len(parsed.all("caption")) == len(parsed.all("table"))
    assert all(own.get("scope") in ("col", "row") for own in parsed.all("th"))
    plots = [own for own in parsed.all("div") if own.get("class") == "plot"]
    assert len(plots) == len(parsed.all("figure")) > 8
    assert all(own["role"] == "img" and len(own["aria-label"]) > 20 for own in plots)
    links = [own["href"][1:] for own in parsed.all("a")]
    assert links[0] == "main"  # past the navigation
    assert set(links) <= set(ids)
    assert all(own["type"] == "button" for own in parsed.all("button"))


def test_two_runs_are_beside_each_other(page):
    parsed = Page(page)
    assert "B less A, paired by video" in parsed.words("th")
    assert {"loss.label_maximum", "loss.label_initial"} <= set(parsed.words("th"))
    titles = parsed.words("h3")
    assert any(title.startswith("Best test video") for title in titles)
    assert any(title.startswith("Training video with worst labels") for title in titles)
    assert "Average precision of labels" in titles
    assert {"A detections", "B detections", "ground truth"} <= set(parsed.words("th"))


def test_the_result_is_that_of_the_run(page, runs):
    metrics = json.loads((runs["first"] / "metrics.json").read_text())
    cells = Page(page).words("td")
    for value in (*metrics["map"], metrics["average_map"]):
        assert any(cell.startswith(f"{value:.1f} [") for cell in cells), value


def test_one_run_without_annotations(runs, tmp_path):
    data = shutil.copytree(runs["data"], tmp_path / "data")
    table = json.loads((data / "annotations.json").read_text())
    for entry in table["database"].values():
        if entry["subset"] == "testing":
            entry["annotations"] = []
        else:  # labels, no segments
            for annotation in entry["annotations"]:
                annotation["segment"] = [0.0, 0.0]
    (data / "annotations.json").write_text(json.dumps(table))
    run, output = tmp_path / "run", tmp_path / "page.html"
    assert main(["train", str(data), "-o", str(run), "--config", "simulated", *SETTINGS]) == 0
    assert main(["report", str(run), "-o", str(output)]) == 0
    parsed = Page(output.read_text())
    assert any("no mAP" in text for text in parsed.words("p"))
    titles = parsed.words("h3")
    assert "Average precision of labels" not in titles
    assert any("most certain detection" in title for title in titles)


def test_a_data_set_that_has_moved(runs, tmp_path, capsys):
    moved = shutil.copytree(runs["data"], tmp_path / "moved")
    run = shutil.copytree(runs["first"], tmp_path / "run")
    description = json.loads((run / "run.json").read_text())
    description["data"]["folder"] = str(tmp_path / "gone")
    (run / "run.json").write_text(json.dumps(description))
    output = tmp_path / "page.html"
    assert main(["report", str(run), "-o", str(output)]) == 0
    assert any("say where with --data" in text for text in Page(output.read_text()).words("p"))
    assert main(["report", str(run), "-o", str(output), "--data", str(moved)]) == 0
    assert any(text.startswith("Best test") for text in Page(output.read_text()).words("h3"))
    assert main(["report", str(run), "-o", str(output), "--data", str(tmp_path / "no")]) == 2


def test_a_run_that_is_not_finished(runs, tmp_path, capsys):
    run = shutil.copytree(runs["first"], tmp_path / "run")
    (run / "metrics.json").unlink()
    assert main(["report", str(run), "-o", str(tmp_path / "page.html")]) == 2
    error = capsys.readouterr().err
    assert "is not finished" in error
    assert "--resume" in error
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("run.json", None, "is not the folder of a run"),
        ("run.json", "[]", "run.json: the file: "),
        ("metrics.json", '{"map": "x"}', "metrics.json: map"),
        ("metrics.json", "{", "metrics.json"),
        (
            "log.jsonl",
            '{"epoch": 1, "kind": "losses", "a": 1}\n{"ep',
            "log.jsonl, line 2 is not JSON",
        ),
        ("log.jsonl", '{"epoch": "one", "kind": "losses"}', "log.jsonl, line 1: epoch"),
        ("predictions.json", "{}x", "predictions.json"),
    ],
)
def test_broken_files_are_named(runs, tmp_path, capsys, file, text, message):
    run = shutil.copytree(runs["first"], tmp_path / "run")
    (run / file).unlink()
    if text is not None:
        (run / file).write_text(text)
    assert main(["report", str(run), "-o", str(tmp_path / "page.html")]) == 2
    assert message in capsys.readouterr().err


def test_a_page_needs_a_name_of_one(runs, tmp_path, capsys):
    assert main(["report", str(runs["first"]), "-o", str(tmp_path / "page.pdf")]) == 2
    assert "must end in .html" in capsys.readouterr().err


def test_without_bokeh_it_says_what_to_install(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bokeh", None)
    assert main(["report", str(runs["first"]), "-o", str(tmp_path / "page.html")]) == 2
    assert "pip install '.[report]'" in capsys.readouterr().err


@pytest.mark.parametrize("subset", ["testing", "training"])
def test_a_plot_of_a_run(runs, tmp_path, subset):
    pytest.importorskip("matplotlib")
    table = json.loads((runs["data"] / "annotations.json").read_text())["database"]
    video = next(name for name, entry in table.items() if entry["subset"] == subset)
    video = VIDEO if subset == "testing" else video
    output = tmp_path / "v.svg"
    assert main(["plot", str(runs["first"]), video, "-o", str(output)]) == 0
    text = output.read_text()
    rows = ["ground truth", "proposals", "instances", "pseudo labels", "detections"]
    assert all(f">{row}</text>" in text for row in rows)
    assert ">CAS (to " in text
    assert (">delta (" in text) == (subset == "training")


def test_a_plot_of_an_unknown_video(runs, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main(["plot", str(runs["first"]), "nobody", "-o", str(tmp_path / "v.svg")]) == 2
    assert "the run has no video 'nobody'" in capsys.readouterr().err


def test_labels_of_other_videos_are_refused(runs, tmp_path, capsys):
    data = shutil.copytree(runs["data"], tmp_path / "data")
    table = json.loads((data / "annotations.json").read_text())
    first = next(n for n, entry in table["database"].items() if entry["subset"] == "training")
    del table["database"][first]
    (data / "annotations.json").write_text(json.dumps(table))
    output = str(tmp_path / "page.html")
    assert main(["report", str(runs["first"]), "-o", output, "--data", str(data)]) == 2
    assert "other training videos" in capsys.readouterr().err


def test_script_json_ends_no_script():
    value = {"</script>": ["<!--", "&amp;", "\u2028"]}
    text = script_json(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value


def test_which_videos_are_shown():
    values = {"a": 1.0, "b": 3.0, "c": 2.0, "d": 0.0, "e": 5.0}
    assert best_median_worst(values) == {"e": "best", "c": "median", "d": "worst"}
    assert best_median_worst({"a": 1.0}) == {"a": "best"}
    assert best_median_worst({}) == {}
    assert list(most_different(values, values | {"a": 4.0, "e": 1.0})) == ["a", "e"]
    assert most_different(values, values) == {}
