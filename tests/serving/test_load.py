import dataclasses
import shutil

import pytest
from support.tiny_model import Tiny

from sar_tf.data.dataset import SequenceDataset
from sar_tf.data.dataset_info import DatasetError, DatasetInfo, list_tables
from sar_tf.data.pipeline import BatchPipeline
from sar_tf.serving.export import export
from sar_tf.serving.load import load_saved_model


@pytest.fixture(scope="module")
def model(kuaisar_pipeline):
    return Tiny(kuaisar_pipeline.spec, kuaisar_pipeline.tables)


@pytest.fixture(scope="module")
def exported(model, kuaisar_pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    export(model, folder / "1", kuaisar_pipeline)
    return folder


@pytest.fixture
def rebuilt(simulated_dataset, tmp_path):
    """The dataset made again of other logs, in which one item has another raw id."""
    folder = shutil.copytree(simulated_dataset, tmp_path / "rebuilt")
    vocabulary = folder / "vocabularies" / "item.txt"
    ids = vocabulary.read_text().split("\n")
    vocabulary.write_text("\n".join(["-1", *ids[1:]]))
    info = DatasetInfo.load(folder)
    dataclasses.replace(info, tables=list_tables(folder)).save(folder)
    return folder


def test_a_saved_model_is_loaded_for_its_dataset_only(
    simulated_dataset, rebuilt, exported
):
    loaded = load_saved_model(exported / "1", simulated_dataset)
    assert {"rank_rec", "rank_search"} < set(loaded.signatures)
    with pytest.raises(DatasetError, match="another dataset") as error:
        load_saved_model(exported / "1", rebuilt)
    assert "other vocabularies/item.txt;" in str(error.value)


def test_a_saved_model_that_does_not_tell_its_dataset(simulated_dataset, tmp_path):
    (tmp_path / "assets.extra").mkdir()
    for text in ("", "[]", '{"fingerprint": "a"}'):
        (tmp_path / "assets.extra" / "dataset.json").write_text(text)
        with pytest.raises(DatasetError, match=r"dataset.json does not tell"):
            load_saved_model(tmp_path, simulated_dataset)


def test_a_rebuilt_dataset_is_refused(rebuilt, model, tmp_path):
    data = BatchPipeline(
        SequenceDataset.open(rebuilt), max_rec_history=5, max_search_history=4
    )
    with pytest.raises(ValueError, match="made for another dataset"):
        export(model, tmp_path / "1", data)
