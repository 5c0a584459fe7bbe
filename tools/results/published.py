"""Numbers that papers print, of datasets that are told apart by their sizes."""

import csv
from pathlib import Path

from sar_tf.data.dataset_info import DatasetInfo

FILE = Path(__file__).with_name("published.csv")
_NUM_NEGATIVES = 99  # Of every paper in the file.


def published(info: DatasetInfo) -> dict[str, dict[str, dict[str, float]]]:
    """Published test metrics of a dataset.

    A dataset is the same where it has as many users and items, and 99 stored negatives
    a target. The searches of the Amazon data are drawn: the papers' search numbers are
    of other draws by the same rules.

    Args:
        info: The dataset.

    Returns:
        {task: {"METHOD (in PAPER)": {"HR@1": value, …}}}; empty for other datasets.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    sizes = (info.counts.get("users"), info.counts.get("items"))
    if info.num_candidates != _NUM_NEGATIVES:
        return found
    with open(FILE, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if (int(row.pop("users")), int(row.pop("items"))) != sizes:
                continue
            name = f"{row.pop('method')} (in {row.pop('paper')})"
            metrics = found.setdefault(row.pop("task"), {})
            metrics[name] = {key: float(text) for key, text in row.items() if text}
    return found
