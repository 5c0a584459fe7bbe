"""tools.report: one HTML page of a study, whose numbers are by hand."""

import html.parser
import re

import numpy as np
import pytest

from sar_tf.files import write_text
from sar_tf.training.config import RunConfig
from sar_tf.training.run_directory import RunDirectory
from tools.report.__main__ import main, make_parser
from tools.report.charts import column_title, line_style, nice_ticks
from tools.report.html import simple_table
from tools.report.images import figures_of
from tools.report.page import make_page
from tools.results.collect import StudyError


@pytest.fixture
def study(tmp_path):
    """Two methods, one of two seeds, one of one."""
    for name, seed, ranks in (
        ("A", 1, [1, 2, 4]),
        ("A", 2, [2, 2, 4]),
        ("<B>", 1, [1, 1, 2]),
    ):
        folder = RunDirectory(tmp_path / "study" / name / f"seed_{seed}")
        folder.start(RunConfig(dataset_dir="/data/shop", seed=seed, l2=0.5 / len(name)))
        arrays = {"user": [1, 2, 3], "task": ["rec"] * 3, "rank": ranks}
        folder.write_ranks("test", {n: np.array(v) for n, v in arrays.items()})
        folder.write_metrics({"epoch": 2})
        write_text(folder.history, f"epoch,click_loss\n1,0.5\n2,0.{seed}\n")
    return tmp_path / "study"


class Reader(html.parser.HTMLParser):
    """The elements of a page; fails where they do not close in order."""

    _EMPTY = ("meta", "img", "wbr")

    def __init__(self, text):
        super().__init__()
        self.open, self.found = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes), []))
        if tag not in self._EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.found:
            self.found[-1][2].append(data)

    def all(self, tag):
        return [(own, "".join(text)) for name, own, text in self.found if name == tag]


def page(study, *flags):
    text = make_page([str(study)], make_parser().parse_args(list(flags)))
    return text, Reader(text)


def test_numbers_of_the_page_by_hand(study):
    pytest.importorskip("scipy")
    _, found = page(study, "--metrics=MRR", "--against=A", "--title=a < b")
    assert found.all("h1")[0][1] == "a < b"
    tips = [own["data-tip"] for own, _ in found.all("td") if "data-tip" in own]
    # A's MRR: 1.75 / 3 and 1.25 / 3, whose mean is 1/2; that of <B> is 2.5 / 3.
    assert tips[1] == "A\nMRR 0.5000\n± 0.1179 over 2 seeds: 0.5833, 0.4167"
    assert tips[0].startswith("<B>\nMRR 0.8333\none seed\n+0.3333 by target, p = ")
    values = [own for own, _ in found.all("td") if "data-sort" in own]
    assert [own["class"] for own in values if "class" in own] == ["best", "second"]
    assert [round(float(own["data-sort"]), 4) for own in values] == [0.8333, 0.5]


def test_page_is_whole_in_itself(study):
    text, found = page(study)
    for tag, own, _ in found.found:
        for name in ("src", "href"):
            assert own.get(name, "#").startswith(("#", "data:")), tag
    assert "http://" not in text and "https://" not in text and "url(" not in text
    assert found.all("html")[0][0]["lang"] == "en"
    anchors = {own["href"][1:] for own, _ in found.all("a") if own["href"][0] == "#"}
    assert anchors == {own["id"] for own, _ in found.all("section")}
    assert "Another seed can turn small differences around" in text


def test_curves_and_runs(study):
    _, found = page(study)
    charts = [own for own, _ in found.all("svg") if "data-chart" in own]
    assert len(charts) == 1 and charts[0]["aria-label"].startswith(
        "Training: click loss"
    )
    # Means of the epochs of A: 0.5, and 0.15 of 0.1 and 0.2.
    assert '"values": [0.5, 0.15]' in charts[0]["data-chart"]
    assert [text for _, text in found.all("th")].count("l2") == 1
    with pytest.raises(StudyError, match="no run has AUC"):
        page(study, "--columns=AUC")
    for path in study.rglob("history.csv"):
        write_text(path, "epoch,AUC\n1,0.5\n")
    with pytest.raises(StudyError, match="name --columns"):
        page(study)
    assert "Training: AUC" in page(study, "--columns=AUC")[0]


def test_figures_of_a_folder(study, tmp_path):
    with pytest.raises(StudyError, match="it has no figures"):
        figures_of(str(tmp_path / "none"))
    folder = tmp_path / "figures"
    folder.mkdir()
    size = (1).to_bytes(4, "big")
    (folder / "tsne.png").write_bytes(bytes(16) + (2).to_bytes(4, "big") + size)
    (folder / "tsne.csv").write_text("method,x\nm,0.123456789\n")
    (folder / "effects_l2.svg").write_text("<svg></svg>")
    (folder / "learning_curves.svg").write_text("<svg></svg>")
    text, found = page(study, f"--figures={folder}")
    images = [own for own, _ in found.all("img")]
    assert [own["alt"] for own in images] == [
        "The four transitions in the plane",
        "The effect of l2",
    ]
    assert images[0]["src"].startswith("data:image/png;base64,")
    assert images[1]["src"] == "data:image/svg+xml;base64,PHN2Zz48L3N2Zz4="
    figures = [own["class"] for own, _ in found.all("figure")]
    assert figures == ["chart", "image wide", "image"]
    assert '<td class="number">0.1235</td>' in text


def test_parts_of_a_page():
    assert nice_ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert nice_ticks(0.3, 0.3)[0] <= 0.3 <= nice_ticks(0.3, 0.3)[-1]
    assert len({line_style(number) for number in range(28)}) == 28
    assert column_title("val_rec_HR@1") == "Validation, recommendation: HR@1"
    table = simple_table([["a"], ["<"], [7]], "x", most=1)
    assert re.findall("<td.*?</td>", table) == ["<td>&lt;</td>"]
    assert "1 more rows are in the CSV" in table


def test_command_line(study, tmp_path, capsys):
    output = tmp_path / "deep" / "report.html"
    main([str(study), f"--output={output}"])
    assert output.read_text().startswith("<!doctype html>")
    assert capsys.readouterr().out == f"{output}\n"
    with pytest.raises(SystemExit, match="report: --against=C: no such method"):
        main([str(study), "--against=C"])
