"""The flags of experiments: one for each setting, one for each hyperparameter."""

from absl import flags

from sar_tf import models

FLAGS = flags.FLAGS
MODES = ("train", "evaluate", "export")

# What a run was told, beside what is written into its flags.txt.
_NOT_KEPT = {"mode", "run_dir", "resume", "verbose"}


class FlagError(ValueError):
    """A flag at fault; shown as one line, without traceback."""


def define():
    """Defines all flags; to be called once, before they are parsed."""
    _define_run()
    _define_data()
    _define_training()
    _define_devices()
    flags.DEFINE_enum("model", "unisar", models.names(), "Which model to train.")
    for name, default in _all_hyperparameters().items():
        _define_hyperparameter(name, default)


def _define_run():
    flags.DEFINE_enum(
        "mode",
        "train",
        MODES,
        "train: train, then evaluate and export the best epoch; evaluate: the best "
        "epoch of a run on validation and test; export: write its SavedModel again.",
    )
    flags.DEFINE_string("dataset_dir", None, "Dataset that a job of pipelines/ made.")
    flags.DEFINE_string("run_dir", None, "Folder of the run.")
    flags.DEFINE_bool("resume", False, "Go on from the last checkpoint of --run_dir.")
    flags.DEFINE_integer("seed", 1, "Of every random draw.", lower_bound=0)
    flags.DEFINE_enum(
        "verbose",
        "auto",
        ("auto", "0", "1", "2"),
        "Keras' progress: 0 none, 1 a bar, 2 a line an epoch.",
    )
    flags.DEFINE_integer(
        "simulate_users",
        0,
        "Where --dataset_dir is not there, make it from simulated logs of this many "
        "users (0: never).",
        lower_bound=0,
    )
    flags.DEFINE_integer("simulate_items", 4000, "Of how many items.", lower_bound=400)
    flags.DEFINE_float(
        "simulate_search_share",
        0.28,
        "Of what share of searches; see `python -m pipelines.simulate --help`.",
        lower_bound=0.01,
        upper_bound=0.99,
    )


def _define_data():
    for name, default, text in (
        ("batch_size", 1024, "Targets of the larger task in a training step."),
        ("evaluation_batch_size", 256, "The same in evaluation."),
        ("max_rec_history", 30, "Clicked recommendations in a history, at most."),
        ("max_search_history", 30, "Searches in a history, at most."),
        ("num_negatives", 4, "Training negatives a positive."),
        ("history_groups", 4, "Groups of like history length in a batch."),
        ("num_sampled", 1024, "Items and queries drawn a step, for alignment."),
    ):
        flags.DEFINE_integer(name, default, text, lower_bound=1)
    for name, text in (
        ("max_query_words", "Words of a query and a caption, at most"),
        ("max_clicked_items", "Clicked items of a search, at most"),
    ):
        flags.DEFINE_integer(
            name, None, f"{text}; as many as there are by default.", lower_bound=1
        )


def _define_training():
    flags.DEFINE_integer("epochs", 100, "Epochs at most.", lower_bound=1)
    flags.DEFINE_float("learning_rate", 1e-3, "Adam's.", lower_bound=0.0)
    flags.DEFINE_float(
        "l2", 1e-5, "L2 in the gradient, none on biases.", lower_bound=0.0
    )
    flags.DEFINE_enum(
        "embedding_optimizer",
        "adam",
        ("adam", "lazy_adam"),
        "adam: each step moves every row of an embedding table, by L2 and momentum; "
        "lazy_adam: only the rows that it looks up, at a cost that does not grow with "
        "the table.",
    )
    flags.DEFINE_float(
        "clip_norm",
        0.0,
        "Norm of all gradients together that larger ones are scaled down to (0: "
        "never).",
        lower_bound=0.0,
    )
    flags.DEFINE_float(
        "plateau_factor",
        0.1,
        "Of the learning rate, after plateau_patience epochs without a better "
        "validation NDCG@5 (mean of the tasks).",
        lower_bound=0.0,
        upper_bound=0.999,
    )
    flags.DEFINE_integer("plateau_patience", 3, "See plateau_factor.", lower_bound=1)
    flags.DEFINE_float(
        "min_learning_rate", 1e-6, "Where the plateau stops.", lower_bound=0.0
    )
    flags.DEFINE_integer(
        "early_stopping_patience",
        5,
        "Epochs without a better validation NDCG@5 that end training.",
        lower_bound=1,
    )
    flags.DEFINE_float(
        "checkpoint_minutes",
        10.0,
        "Training time between two checkpoints inside an epoch, at least; 0 is every "
        "step. At an epoch's end there is one anyway.",
        lower_bound=0.0,
    )


def _define_devices():
    flags.DEFINE_enum(
        "strategy",
        "one_device",
        ("one_device", "mirrored", "multi_worker", "tpu"),
        "mirrored: all GPUs of this machine; multi_worker: the machines that the "
        "variable TF_CONFIG names; tpu: see --tpu. --batch_size is that of all.",
    )
    flags.DEFINE_string("tpu", "", "Name or address of the TPU; local: this machine's.")
    flags.DEFINE_enum(
        "precision",
        "float32",
        ("float32", "bfloat16"),
        "bfloat16: of all but weights, losses and softmax.",
    )
    flags.DEFINE_bool(
        "jit_compile", False, "Compile steps with XLA; needs --history_groups=1."
    )
    flags.DEFINE_integer(
        "steps_per_execution", 1, "Steps between two callbacks.", lower_bound=1
    )


def check():
    """Raises FlagError where flags contradict each other."""
    is_compiled = FLAGS.jit_compile or FLAGS.strategy == "tpu"
    reason = "--jit_compile" if FLAGS.jit_compile else "--strategy=tpu"
    if is_compiled and FLAGS.history_groups > 1:
        raise FlagError(f"{reason} needs static shapes: --history_groups=1")
    if is_compiled and FLAGS.embedding_optimizer != "adam":
        raise FlagError(f"{reason} needs --embedding_optimizer=adam")


def _all_hyperparameters():
    """{name: a default, which tells the type} over all registered models."""
    found = {}
    for model in models.names():
        for name, default in models.get(model).hyperparameters().items():
            if name in found and type(found[name]) is not type(default):
                raise TypeError(
                    f"hyperparameter {name} of {model} is a {type(default).__name__}, "
                    f"of another model a {type(found[name]).__name__}"
                )
            found.setdefault(name, default)
    return found


def _define_hyperparameter(name, default):
    takers = [m for m in models.names() if name in models.get(m).hyperparameters()]
    text = f"Hyperparameter of {', '.join(takers)}; its own default where not given."
    if isinstance(default, bool):
        flags.DEFINE_bool(name, None, text)
    elif isinstance(default, int):
        flags.DEFINE_integer(name, None, text)
    elif isinstance(default, float):
        flags.DEFINE_float(name, None, text)
    elif isinstance(default, tuple):
        flags.DEFINE_list(name, None, f"{text} Whole numbers, separated by commas.")
    else:
        flags.DEFINE_string(name, None, text)


def hyperparameters():
    """{name: value} of the chosen model's hyperparameters, all of them.

    Raises:
        FlagError: A flag was given that the chosen model does not take.
    """
    values = dict(models.get(FLAGS.model).hyperparameters())
    for name, default in _all_hyperparameters().items():
        value = FLAGS[name].value
        if value is None:
            continue
        if name not in values:
            raise FlagError(f"--{name}: the model {FLAGS.model} has no such setting")
        values[name] = _numbers(name, value) if isinstance(default, tuple) else value
    return values


def _numbers(name, texts):
    try:
        return tuple(int(text) for text in texts)
    except ValueError as error:
        raise FlagError(
            f"--{name}={','.join(texts)}: give whole numbers, separated by commas"
        ) from error


def flagfile_text():
    """The flags of this run as a flagfile, defaults and hyperparameters written out."""
    lines = [
        "# Repeats the run: python experiments/run.py --flagfile=<this file> "
        "--run_dir=<another folder>"
    ]
    module_flags = FLAGS.flags_by_module_dict()[__name__]
    chosen = {flag.name: flag.value for flag in module_flags} | hyperparameters()
    for flag in module_flags:
        value = chosen[flag.name]
        if flag.name in _NOT_KEPT or value is None:
            continue
        if isinstance(value, tuple):
            value = ",".join(map(str, value))
        lines.append(f"--{flag.name}={value}")
    return "\n".join(lines) + "\n"


def differing_flags(kept_text, changeable=()):
    """Flags of this run whose lines differ from a kept flags.txt: a list of names.

    One that flags.txt does not name, being newer than the run, must have its default.
    """
    kept, own = (
        {line.split("=")[0].removeprefix("--"): line for line in text.splitlines()}
        for text in (kept_text, flagfile_text())
    )
    names = {name for name in kept.keys() | own.keys() if not name.startswith("#")}
    newer = {n for n in names - kept.keys() if FLAGS[n].using_default_value}
    return sorted(
        name
        for name in names - newer
        if kept.get(name) != own.get(name) and name not in changeable
    )
