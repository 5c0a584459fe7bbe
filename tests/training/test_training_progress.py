import io

import pytest

from sar_tf.training import progress
from sar_tf.training.progress import Progress

LOGS = {
    "loss": 0.53219,
    "val_click_loss": 0.4,
    "val_NDCG@5": 0.25,
    **{
        f"val_{task}_{name}": 0.12345
        for task in ("rec", "search")
        for name in ("NDCG@5", "HR@10")
    },
}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def print_epochs(scores, verbose="epochs", stream=None, epochs=100, best=None):
    stream = stream or io.StringIO()
    shown = Progress(["rec", "search"], epochs, verbose, best, stream)
    shown.set_params({"steps": 3})
    for epoch, score in enumerate(scores):
        shown.on_epoch_begin(epoch)
        for batch in range(3):
            shown.on_train_batch_end(batch, {"loss": 0.6})
        shown.on_epoch_end(epoch, {**LOGS, "val_NDCG@5": score})
    shown.on_train_end()
    return stream.getvalue()


def test_one_line_an_epoch_that_fits_a_terminal():
    heading, *lines = print_epochs([0.2, 0.1, 0.3]).splitlines()
    assert len(lines) == 3
    assert all(len(line) <= 80 for line in (heading, *lines))
    assert lines[1].split() == ["2/100", "0.5322", *["0.1235"] * 4, "0s"]
    for name in ("loss", "rec NDCG@5", "search HR@10", "time"):
        assert name in heading
    # A value stands below its heading.
    assert lines[0].index("0.1235") == heading.index("rec NDCG@5")


def test_the_best_so_far_is_marked():
    lines = print_epochs([0.2, 0.1, 0.3]).splitlines()[1:]
    assert [line.endswith(" *") for line in lines] == [True, False, True]
    lines = print_epochs([0.2, 0.3], best=0.25).splitlines()[1:]
    assert [line.endswith(" *") for line in lines] == [False, True]


def test_all_numbers():
    text = print_epochs([0.2], "all")
    for name in LOGS:
        assert f"    {name} " in text


def test_silence():
    assert print_epochs([0.2, 0.3], "none") == ""
    assert print_epochs([0.2], "none", Terminal()) == ""


def test_a_file_gets_a_line_now_and_then(monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS", 0)
    text = print_epochs([0.2])
    assert "\r" not in text
    assert [line.split() for line in text.splitlines()[1:4]] == [
        ["1/100", "0.6000", "step", f"{step}/3"] for step in (1, 2, 3)
    ]


def test_a_terminal_gets_a_bar():
    text = print_epochs([0.2], stream=Terminal())
    assert "\r1/100:" in text and "/3 [" in text
    assert text.splitlines()[-1].endswith("0s *")


def test_unknown_verbosity():
    with pytest.raises(ValueError, match="verbose must be one of epochs, all, none"):
        Progress(["rec"], 1, "loud")
