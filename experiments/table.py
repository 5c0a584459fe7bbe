"""Metrics of several rankers as a table of text."""

COLUMNS = ("HR@1", "HR@5", "HR@10", "HR@20", "NDCG@5", "NDCG@10", "NDCG@20", "MRR")


def metrics_table(results):
    """Formats metrics: one block for each task, one row for each ranker.

    Args:
        results: {ranker: {task: {"HR@1": value, …}}}, with the same tasks.
    """
    width = max(len(ranker) for ranker in results)
    tasks = next(iter(results.values()))
    blocks = []
    for task in tasks:
        lines = [f"{task:<{width}}" + "".join(f"{name:>9}" for name in COLUMNS)]
        for ranker, metrics in results.items():
            values = "".join(f"{metrics[task][name]:>9.4f}" for name in COLUMNS)
            lines.append(f"{ranker:<{width}}{values}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
