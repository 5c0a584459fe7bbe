import pytest
from run_folders import SMALL_MODEL, error_of

from experiments import flags
from sar_tf import models
from sar_tf.models import registry
from sar_tf.training.config import RunConfig

CONFIGS = ("quickstart", "unisar_amazon", "sesrec_amazon", "unisar_kuaisar")


class Clashing(models.Model):
    """A model whose hyperparameters have all kinds of types.

    Args:
        epochs: Named like a setting of a run.
        rates: A tuple of numbers.
        names: A tuple of texts.
        limit: A number or nothing.
    """

    def __init__(
        self,
        spec,
        tables=None,
        *,
        epochs: int = 7,
        rates: tuple[float, ...] = (0.5, 0.1),
        names: tuple[str, ...] = ("a",),
        limit: float | None = None,
        **kwargs,
    ):
        super().__init__(spec, tables, **kwargs)


@pytest.fixture
def clashing(monkeypatch):
    monkeypatch.setitem(registry._MODELS, "clashing", Clashing)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--run_dir=new"], "dataset_dir is missing"),
        (["--dataset_dir=nowhere"], "--run_dir is missing"),
        (["--dataset_dir=nowhere", "--run_dir=new"], "nowhere: no such folder"),
        (["--learning_rat=1"], "--learning_rat: no such flag; do you mean --learning_"),
        (["--batch_size=many"], "--batch_size: must be a whole number, not 'many'"),
        (["--batch_size=0"], "--batch_size: must be at least 1 and at most 1048576"),
        (["--batch_size"], "--batch_size: expected one argument"),
        (["--epoch=3"], "--epoch: no such flag; do you mean --epochs?"),
        (["--model=none"], "--model=none: no model is named 'none'"),
        (["--mode=fly"], "--mode: must be one of train, evaluate, export"),
        (["--flagfile=none.flags"], "--flagfile=none.flags: No such file"),
        (["--mode=evaluate", "--run_dir=new"], "new holds no run"),
        (["--mode=export", "--run_dir=new", "--resume"], "--resume belongs to --mode="),
        (
            ["--mode=export", "--run_dir=new", "--evaluate_full"],
            "--evaluate_full belongs to --mode=train or evaluate",
        ),
        (
            ["--run_dir=new", "--evaluate_full_sample=9"],
            "--evaluate_full_sample belongs to --evaluate_full",
        ),
        (["--run_dir=new", "word"], "'word' is no flag"),
        (["--jit_compile", "--history_groups=2"], "history_groups=1"),
        (["--strategy=tpu"], "history_groups=1"),
        (["--warmup_steps=5"], "warmup_steps needs schedule=cosine"),
    ],
)
def test_a_bad_flag_is_one_line(run, tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    if "history_groups" in expected or "warmup" in expected:
        arguments = [*arguments, "--dataset_dir=nowhere", "--run_dir=new"]
    assert expected in error_of(run, *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--tower_units=3", "--tower_units: sesrec has no such hyperparameter; unisar"),
        ("--dropout=2", "--dropout: must be at least 0 and below 1, not 2.0"),
        ("--prediction_units=200,wide", "must be a whole number, not 'wide'"),
        ("--unisar.hidden=32", "--unisar.hidden: unisar has no such hyperparameter"),
        ("--unisar.hidden_dim=x", "--unisar.hidden_dim: hidden_dim must be a whole"),
        ("--pointer.width=3", "--pointer.width: no model is named 'pointer'"),
    ],
)
def test_a_bad_hyperparameter_is_one_line(
    run, small_flags, tmp_path, argument, expected
):
    run_dir = f"--run_dir={tmp_path / 'run'}"
    assert expected in error_of(run, *small_flags, *SMALL_MODEL, argument, run_dir)
    assert not list(tmp_path.iterdir())


def test_values_may_follow_as_words():
    command = flags.parse(["--epochs", "3", "--model", "sesrec", "--jit_compile"])
    assert command.given == {"epochs": 3, "model": "sesrec", "jit_compile": True}
    assert command.program["mode"] == "train"


def test_hyperparameters_of_all_types(clashing):
    command = flags.parse(
        [
            "--model=clashing",
            "--rates=0.25,1",
            "--names=x,y",
            "--clashing.limit=2.5",
            "--epochs=3",
            "--clashing.epochs=5",
        ]
    )
    assert command.given == {"model": "clashing", "epochs": 3}
    expected = {"rates": (0.25, 1.0), "names": ("x", "y"), "limit": 2.5, "epochs": 5}
    assert command.hyperparameters == expected
    nothing = flags.parse(["--model=clashing", "--limit=none", "--names="])
    assert nothing.hyperparameters == {"limit": None, "names": ()}


def test_a_flagfile_repeats_a_config(clashing, tmp_path):
    config = RunConfig(
        model="clashing",
        dataset_dir="data",
        tpu="",
        jit_compile=True,
        hyperparameters={"rates": (0.25,), "epochs": 9},
    )
    path = tmp_path / "flags.txt"
    path.write_text(flags.flagfile_text(config))
    assert flags.parse([f"--flagfile={path}"]).config() == config


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("model", models.names())
def test_a_flagfile_serves_every_model(repository, config, model):
    path = repository / "experiments" / "configs" / f"{config}.flags"
    command = flags.parse([f"--flagfile={path}", f"--model={model}"])
    assert command.model == model
    assert bool(command.hyperparameters) == (config.startswith(model)) or (
        config == "quickstart"
    )


@pytest.mark.parametrize("model", ["qem", "hem", "aem", "zam", "tem", "copps"])
@pytest.mark.parametrize("dataset", ["amazon", "kuaisar"])
def test_flagfiles_of_search_models_name_hyperparameters(repository, dataset, model):
    path = repository / "experiments" / "configs" / f"{model}_{dataset}.flags"
    command = flags.parse([f"--flagfile={path}"])
    assert command.model == model
    settings = models.get(model).hyperparameters()
    assert command.hyperparameters.keys() > {"hidden_dim", "item_encoder"}
    for name, value in command.hyperparameters.items():
        assert settings[name].check(value) == value


def test_flagfiles_in_flagfiles(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner.flags").write_text("--epochs=2\n--seed=5\n")
    (tmp_path / "outer.flags").write_text(
        "# A comment.\n\n--epochs=1\n--flagfile=inner.flags\n--seed=6\n"
    )
    given = flags.parse(["--flagfile=outer.flags", "--l2=0"]).given
    assert given == {"epochs": 2, "seed": 6, "l2": 0.0}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("epochs=3", "f.flags:2: 'epochs=3' is no flag; write --flag=value"),
        (
            "--epochs=0",
            "f.flags:2: --epochs: must be at least 1 and at most 1000000, not 0",
        ),
        ("--speed=3", "f.flags:2: --speed: no such flag"),
        ("--flagfile=f.flags", "f.flags:2: --flagfile=f.flags names itself"),
        ("--sesrec.split=odd", "f.flags:2: --sesrec.split: split must be one of"),
    ],
)
def test_an_error_in_a_flagfile_names_its_line(tmp_path, monkeypatch, line, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.flags").write_text(f"# A comment.\n{line}\n")
    with pytest.raises(flags.FlagError) as raised:
        flags.parse(["--flagfile=f.flags"])
    assert expected in str(raised.value)


@pytest.mark.parametrize("model", models.names())
def test_help_tells_every_flag_of_the_model(capsys, model):
    with pytest.raises(SystemExit) as raised:
        flags.parse([f"--model={model}", "--help"])
    assert not raised.value.code
    text = capsys.readouterr().out
    for name in models.get(model).hyperparameters():
        assert f"--{name} " in text
    assert "default: 1024; at least 1" in " ".join(text.split())
    other = "item_dims" if model == "unisar" else "transition_weight"
    assert f"--{other} " not in text


@pytest.mark.parametrize("model", models.names())
def test_no_help_text_is_empty(model):
    settings = models.get(model).hyperparameters()
    parser = flags.make_parser(model, settings)
    for action in parser._actions:
        assert action.help and len(action.help) > 10, action.option_strings
    for setting in (*settings.values(), *flags.PROGRAM.values()):
        assert len(setting.help) > 10, setting.name
