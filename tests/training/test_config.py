import json

import pytest

import sar_tf
from sar_tf.training.config import GROUPS, ConfigError, RunConfig

CONFIG = RunConfig(
    model="unisar",
    dataset_dir="data/beauty",
    max_query_words=None,
    hyperparameters={"dropout": 0.2, "tower_units": (8, 4)},
)


def test_every_setting_says_what_it_means():
    for group in GROUPS:
        for name, setting in RunConfig.settings(group).items():
            assert setting.help.endswith("."), name
    assert len(RunConfig.settings()) == len(RunConfig.__dataclass_fields__) - 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number, not 2.5"),
        ({"learning_rate": float("nan")}, "learning_rate must be at least 0, not nan"),
        ({"strategy": "moon"}, "strategy must be one of one_device, mirrored"),
        ({"dataset_dir": 7}, "dataset_dir must be a text, not 7"),
    ],
)
def test_a_bad_value_is_refused_at_once(values, expected):
    with pytest.raises(ConfigError, match=expected):
        RunConfig(**values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"jit_compile": True}, "jit_compile=true needs .*: history_groups=1"),
        ({"strategy": "tpu"}, "strategy=tpu needs .*: history_groups=1"),
        (
            {
                "jit_compile": True,
                "history_groups": 1,
                "embedding_optimizer": "lazy_adam",
            },
            "needs embedding_optimizer=adam",
        ),
        ({"warmup_steps": 3}, "warmup_steps needs schedule="),
        ({"model": "none"}, "no model is named 'none'"),
        ({"hyperparameters": {"item_dims": (3,)}}, "unisar has no hyperparameter"),
        ({"hyperparameters": {"dropout": 2.0}}, "dropout must be"),
        ({"dataset_dir": None}, "dataset_dir is missing"),
    ],
)
def test_contradictions_are_one_line(values, expected):
    config = RunConfig(**{"dataset_dir": "data", **values})
    with pytest.raises(ConfigError, match=expected) as raised:
        config.check()
    assert "\n" not in str(raised.value)


def test_check_writes_out_every_hyperparameter():
    checked = CONFIG.check()
    assert checked.hyperparameters["dropout"] == 0.2
    known = sar_tf.models.get("unisar").hyperparameters()
    assert checked.hyperparameters.keys() == known.keys()


def test_json_round_trip():
    checked = CONFIG.check()
    assert RunConfig.from_json(checked.to_json()) == checked
    assert json.loads(checked.to_json())["sar_tf_version"] == sar_tf.__version__


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sped": 1}, "has an unknown setting 'sped': sar_tf 0.0.9 wrote it"),
        ({"seed": ...}, "has no setting 'seed': sar_tf 0.0.9 wrote it"),
        ({"seed": -1}, "run/config.json: seed must be at least 0"),
        ({"hyperparameters": 3}, "hyperparameters is no object"),
        ({"sar_tf_version": ...}, "is damaged"),
    ],
)
def test_json_of_another_version_or_damaged(change, expected):
    values = {**json.loads(CONFIG.to_json()), "sar_tf_version": "0.0.9", **change}
    text = json.dumps({name: value for name, value in values.items() if value != ...})
    with pytest.raises(ConfigError, match=expected) as raised:
        RunConfig.from_json(text, "run/config.json")
    assert "\n" not in str(raised.value)
    with pytest.raises(ConfigError, match="is damaged"):
        RunConfig.from_json(text[:100])


def test_changed():
    other = RunConfig.from_json(CONFIG.to_json().replace("0.2", "0.3"))
    assert CONFIG.changed(other) == ["dropout"]
    assert CONFIG.changed(CONFIG) == []
