import dataclasses
import json
import math

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
        ({"batch_size": 0}, "batch_size must be at least 1 and at most 1048576, not 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number, not 2.5"),
        ({"learning_rate": math.nan}, "learning_rate must be above 0 and .*, not nan"),
        ({"learning_rate": 0}, "learning_rate must be above 0 and at most 10, not 0"),
        ({"learning_rate": 1e9}, "learning_rate must be .*, not 1000000000.0"),
        ({"clip_norm": math.nan}, "clip_norm must be .*, not nan"),
        ({"clip_norm": math.inf}, "clip_norm must be .*, not inf"),
        ({"plateau_factor": math.nan}, "plateau_factor must be .*, not nan"),
        ({"plateau_factor": 0.0}, "plateau_factor must be above 0 and below 1, not 0"),
        ({"seed": 5_000_000_000}, "seed must be at least 0 and at most 4294967295"),
        ({"max_rec_history": 100_000}, "max_rec_history must be .* at most 8192"),
        ({"num_negatives": 60_000}, "num_negatives must be .* at most 1024"),
        ({"num_sampled": 3_000_000_000}, "num_sampled must be .* at most 65536"),
        ({"history_groups": 100_000}, "history_groups must be .* at most 64"),
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
        ({"min_learning_rate": 0.5}, "min_learning_rate=0.5 is above learning_rate=0"),
        ({"tpu": "local"}, "tpu=local needs strategy=tpu"),
        ({"hyperparameters": {"num_layers": 65}}, "num_layers must be .* at most 64"),
        ({"hyperparameters": {"hidden_dim": 65536}}, "hidden_dim must be .* 8192"),
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


def test_every_number_has_a_lowest_and_a_highest_value():
    settings = dict(RunConfig.settings())
    for model in sar_tf.models.names():
        hyperparameters = sar_tf.models.get(model).hyperparameters()
        settings |= {f"{model}.{name}": x for name, x in hyperparameters.items()}
    for name, setting in settings.items():
        if setting.kind in (int, float) and not setting.choices:
            assert setting.range is not None, name
            assert math.isfinite(setting.range.low + setting.range.high), name


def test_check_writes_out_every_hyperparameter():
    checked = CONFIG.check()
    assert checked.hyperparameters["dropout"] == 0.2
    known = sar_tf.models.get("unisar").hyperparameters()
    assert checked.hyperparameters.keys() == known.keys()


def test_json_round_trip():
    checked = CONFIG.check()
    assert RunConfig.from_json(checked.to_json()) == checked
    assert json.loads(checked.to_json())["sar_tf_version"] == sar_tf.__version__


def test_an_older_file_has_what_was_no_setting_yet():
    values = json.loads(CONFIG.to_json())
    for name in ("sha256", "max_item_queries", "max_neighbors", "session_minutes"):
        del values[name]
    values["sar_tf_version"] = "0.0.9"
    assert RunConfig.from_json(json.dumps(values)) == CONFIG


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sped": 1}, "has an unknown setting 'sped': sar_tf 0.0.9 wrote it"),
        ({"seed": ...}, "has no setting 'seed': sar_tf 0.0.9 wrote it"),
        ({"seed": -1}, "run/config.json: seed must be at least 0"),
        ({"hyperparameters": 3}, "hyperparameters is no object"),
        ({"sar_tf_version": ...}, "is damaged"),
        ({"sar_tf_version": sar_tf.__version__}, "damaged .its checksum does not"),
        ({"seed": 5, "sha256": "0" * 64}, "damaged .its checksum does not"),
    ],
)
def test_json_of_another_version_or_damaged(change, expected):
    values = json.loads(CONFIG.to_json())
    del values["sha256"]  # older versions had none
    values = {**values, "sar_tf_version": "0.0.9", **change}
    text = json.dumps({name: value for name, value in values.items() if value != ...})
    with pytest.raises(ConfigError, match=expected) as raised:
        RunConfig.from_json(text, "run/config.json")
    assert "\n" not in str(raised.value)
    with pytest.raises(ConfigError, match="is damaged"):
        RunConfig.from_json(text[:100])


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: lines[:5] + lines[6:],
        lambda lines: lines[:-4] + lines[-3:],
        lambda lines: lines[: len(lines) // 2],
        lambda lines: [line.replace("0.2", "0.3") for line in lines],
        lambda lines: ["\x00" * sum(map(len, lines))],
        lambda lines: [],
    ],
)
def test_a_damaged_file_is_named(damage, tmp_path):
    path = tmp_path / "config.json"
    lines = CONFIG.check().to_json().splitlines(keepends=True)
    path.write_text("".join(damage(lines)))
    with pytest.raises(ConfigError, match=rf"^{path} is damaged \(.*another run_dir$"):
        RunConfig.load(path)


def test_a_file_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(CONFIG.to_json().encode()[:-3] + b"\xff}\n")
    with pytest.raises(ConfigError, match=rf"^{path} is damaged \(.*another run_dir$"):
        RunConfig.load(path)


def test_changed():
    hyperparameters = {**CONFIG.hyperparameters, "dropout": 0.3}
    other = dataclasses.replace(CONFIG, hyperparameters=hyperparameters)
    assert CONFIG.changed(other) == ["dropout"]
    assert CONFIG.changed(CONFIG) == []
