import pytest

from sar_tf.training.history import HistoryCsv
from sar_tf.training.run_directory import RunDirectoryError

WHOLE = "epoch,loss\r\n1,0.5\r\n2,0.4\r\n3,0.3\r\n"


def test_rows_of_epochs_trained_again_are_replaced(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text(WHOLE)
    history = HistoryCsv(path, initial_epoch=2)
    history.on_epoch_end(2, {"loss": 0.25, "learning_rate": 0.1})
    assert path.read_text().splitlines() == [
        "epoch,loss,learning_rate",
        "1,0.5,",
        "2,0.4,",
        "3,0.25,0.1",
    ]
    HistoryCsv(path, initial_epoch=3)  # and it can be read again


def test_a_missing_file_is_said_and_leaves_empty_rows(tmp_path, caplog):
    path = tmp_path / "history.csv"
    history = HistoryCsv(path, initial_epoch=2)
    assert f"{path} is missing: the logs of epochs 1 to 2 are lost" in caplog.text
    history.on_epoch_end(2, {"loss": 0.25})
    assert path.read_text().splitlines() == ["epoch,loss", "1,", "2,", "3,0.25"]
    HistoryCsv(path, initial_epoch=3)


@pytest.mark.parametrize(
    "damaged",
    [
        WHOLE.replace("1,0.5\r\n", ""),
        WHOLE.replace("2,0.4\r\n", ""),
        WHOLE.replace("2,0.4\r\n3,0.3\r\n", ""),
        WHOLE.replace("epoch,loss\r\n", ""),
        WHOLE[:-6],
        WHOLE[:-3],
        WHOLE.replace("0.4", "0.4,0.1"),
        WHOLE.replace(",0.4", ""),
        WHOLE.replace("0.4", "what"),
        "\x00" * len(WHOLE),
        "",
    ],
)
def test_a_damaged_file_is_named(damaged, tmp_path):
    path = tmp_path / "history.csv"
    path.write_bytes(damaged.encode())
    with pytest.raises(RunDirectoryError) as raised:
        HistoryCsv(path, initial_epoch=2)
    message = str(raised.value)
    assert message.startswith(f"{path} is damaged (") and "\n" not in message
    assert path.read_bytes() == damaged.encode()


def test_a_file_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "history.csv"
    path.write_bytes(WHOLE.encode() + b"\xff\r\n")
    with pytest.raises(RunDirectoryError, match="is damaged"):
        HistoryCsv(path, initial_epoch=2)
