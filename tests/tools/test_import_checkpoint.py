import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from support.builders import make_record, rec, search

from pipelines.common import writer
from pipelines.common.vocabulary import Vocabulary
from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.data.schema import Ragged
from sar_tf.interop.fixtures import Fixture, build_model
from tools import import_checkpoint

torch = pytest.importorskip("torch", reason="the extra [torch] is not installed")

# Sizes of the golden checkpoints, and their features where they have any.
NUM_USERS, NUM_ITEMS, NUM_WORDS, NUM_QUERIES = 11, 40, 25, 20
FEATURES = {
    # In another order than the checkpoints'.
    "unisar_features": {
        "user": {
            "search_active_level": 6,
            "rec_active_level": 3,
            "onehot_feat1": 7,
            "onehot_feat2": 2,
        },
        "item": {"first_level_category_id": 5, "second_level_category_id": 8},
    },
    "sesrec_features": {
        "user": {"src_level": 3, "gender": 2, "age": 7},
        "item": {"type1": 4, "cate": 6},
    },
}
NUM_SOURCES = {"sesrec_features": 3}


def make_dataset(folder, name, num_items=NUM_ITEMS):
    """A dataset of the sizes of a golden checkpoint."""
    folder.mkdir()
    records = [_record(user) for user in range(1, NUM_USERS + 1)]
    summary = writer.Summary.empty(num_items)
    path = folder / writer.shard_name(0, 1)
    summary.merge(writer.write_shard(path, records, num_items))
    words = Ragged.from_rows([[], *([1 + q, NUM_WORDS] for q in range(NUM_QUERIES))])
    sizes = {"user": NUM_USERS, "item": num_items, "word": NUM_WORDS}
    sizes["search_source"] = NUM_SOURCES.get(name, 0)
    features = FEATURES.get(name, {"user": {}, "item": {}})
    item_features = _feature_tables(features["item"], num_items)
    if name == "unisar_features":
        splits = np.minimum(np.arange(num_items + 2), 1)
        item_features["caption"] = np.array([1]), splits
    tables = writer.Tables(
        vocabularies={
            kind: Vocabulary([f"{kind}-{i:02d}" for i in range(size)])
            for kind, size in sizes.items()
        },
        queries=(words.values, np.append(0, np.cumsum(words.lengths))),
        user_features=_feature_tables(features["user"], NUM_USERS),
        item_features=item_features,
    )
    described = {"name": name, "command": "", "seed": 1, "split_rule": "last"}
    writer.write_dataset(folder, summary, tables, **described)
    return folder


def _record(user):
    behaviors = [
        rec(1, user),
        search(2, user, clicked=[user + 1], words=[user], source=0),
        rec(3, user + 2),
        search(4, user + 1, clicked=[user + 3], words=[user + 1], source=0),
        search(5, user, clicked=[user + 4], words=[user], source=0),
        search(6, user, clicked=[user + 5], words=[user], source=0),
        rec(7, user + 6),
        rec(8, user + 7),
    ]
    splits = ("train", "validation", "test")
    targets = [
        *zip((3, 4, 5), splits, (user + 3, user + 4, user + 5), strict=True),
        *zip((2, 6, 7), splits, (user + 2, user + 6, user + 7), strict=True),
    ]
    others = np.setdiff1d(np.arange(1, NUM_ITEMS + 1), np.arange(user, user + 8))
    return make_record(user, behaviors, targets, stored=others)


def _feature_tables(features, number):
    """Features whose highest id is the checkpoint's."""
    return {name: np.arange(number + 1) % (k + 1) for name, k in features.items()}


def flags(shared_dir, tmp_path, name, **changed):
    values = {
        "model": name.partition("_")[0],
        "checkpoint": shared_dir / "golden" / f"{name}.pt",
        "dataset_dir": tmp_path / "dataset",
        "run_dir": tmp_path / "run",
        "num_heads": 4 if name == "sesrec_ids" else 2,
        **changed,
    }
    return [f"--{flag}={value}" for flag, value in values.items()]


def error_of(argv):
    with pytest.raises(SystemExit) as error:
        import_checkpoint.main(argv)
    return str(error.value)


def run(repository, run_dir, mode):
    """Runs experiments/run.py on a run folder; returns what it prints."""
    command = ["experiments/run.py", f"--mode={mode}", f"--run_dir={run_dir}"]
    done = subprocess.run(
        [sys.executable, *command, "--verbose=none"],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["unisar_features", "sesrec_features"])
def test_from_checkpoint_to_evaluation_and_export(
    shared_dir, golden_dir, repository, tmp_path, name
):
    dataset = make_dataset(tmp_path / "dataset", name)
    import_checkpoint.main(flags(shared_dir, tmp_path, name))
    run_dir = tmp_path / "run"
    run(repository, run_dir, "evaluate")
    metrics = json.loads((run_dir / "metrics.json").read_text())
    for split in ("validation", "test"):
        assert 0 <= metrics[split]["rec"]["NDCG@5"] <= 1
    assert metrics["epoch"] == 0
    assert f"SavedModel: {run_dir}/saved_model/1" in run(repository, run_dir, "export")
    fixture = Fixture.load(golden_dir / f"{name}.npz")
    model, _ = build_model(fixture)
    assert_same_scores(model, dataset, run_dir)


def assert_same_scores(model, dataset_dir, run_dir):
    """The SavedModel scores a batch as the fixture's model, given its features."""
    dataset = SequenceDataset.open(dataset_dir)
    spec = model.spec
    tables = dataset.feature_tables(spec.caption_length or 1)
    other = type(model)(**{**model.get_config(), "tables": tables})
    for own, official in zip(
        other.trainable_variables, model.trainable_variables, strict=True
    ):
        own.assign(official)
    pipeline = BatchPipeline(
        dataset,
        tasks=model.tasks,
        max_rec_history=spec.max_rec_history,
        max_search_history=spec.max_search_history,
        num_groups=1,
    )
    batch = next(iter(pipeline.evaluate("test")))
    served = tf.saved_model.load(run_dir / "saved_model" / "1")
    flat = {**batch["history"], **batch["rec"]}
    names = served.signatures["rank_rec_dense"].structured_input_signature[1]
    scores = served.signatures["rank_rec_dense"](**{name: flat[name] for name in names})
    expected = other.score("rec", batch)
    np.testing.assert_allclose(scores["scores"], expected, atol=1e-5)


def test_ids_alone(shared_dir, tmp_path, capsys):
    make_dataset(tmp_path / "dataset", "sesrec_ids")
    import_checkpoint.main(flags(shared_dir, tmp_path, "sesrec_ids"))
    assert "sesrec: " in capsys.readouterr().out
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["model"], config["max_search_history"]) == ("sesrec", 6)
    assert config["hyperparameters"]["num_heads"] == 4
    assert (tmp_path / "run" / "checkpoints" / "best.weights.h5").is_file()


def test_all_that_does_not_fit_is_listed(shared_dir, tmp_path):
    make_dataset(tmp_path / "dataset", "sesrec_ids", num_items=NUM_ITEMS + 1)
    state = torch.load(shared_dir / "golden" / "sesrec_ids.pt", weights_only=True)
    del state["fc_layer.fc.3.bias"]
    state["extra.weight"] = torch.zeros(2)
    changed = tmp_path / "changed.pt"
    torch.save(state, changed)
    message = error_of(flags(shared_dir, tmp_path, "sesrec_ids", checkpoint=changed))
    assert "(3 problems)" in message
    assert "missing: fc_layer.fc.3.bias" in message
    assert "surplus: extra.weight" in message
    table = "query_item_feat.item_feat.item_id_emb.weight"
    assert f"shape of {table}: (41, 16), but the model has (42, 16)" in message
    assert not (tmp_path / "run").exists()


def test_another_models_checkpoint(shared_dir, tmp_path):
    argv = flags(shared_dir, tmp_path, "unisar_ids", model="sesrec")
    assert "--model=sesrec, but" in error_of(argv)


def test_a_file_that_is_no_checkpoint(shared_dir, tmp_path):
    file = tmp_path / "notes.pt"
    file.write_text("not a checkpoint")
    argv = flags(shared_dir, tmp_path, "unisar_ids", checkpoint=file)
    assert "notes.pt is no checkpoint of tensors" in error_of(argv)


def test_a_run_folder_that_is_taken(shared_dir, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "flags.txt").touch()
    argv = flags(shared_dir, tmp_path, "unisar_ids")
    assert "already holds a run" in error_of(argv)
