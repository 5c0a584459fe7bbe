"""Flags of experiments/run.py that are no settings of a run."""

from sar_tf.settings import Range, Setting
from sar_tf.training.progress import VERBOSITIES

MODES = {
    "train": "train, then evaluate and export the best epoch",
    "evaluate": "evaluate the best epoch of a run on validation and test",
    "export": "write the SavedModel of a run again",
}
PROGRAM = {
    setting.name: setting
    for setting in (
        Setting(
            "mode",
            "train",
            choices=tuple(MODES),
            help="Mode of the command. "
            + "; ".join(f"{mode}: {text}" for mode, text in MODES.items())
            + ".",
        ),
        Setting("run_dir", None, is_optional=True, help="Folder of the run."),
        Setting(
            "resume", False, bool, help="Whether to continue from run_dir's checkpoint."
        ),
        Setting(
            "evaluate_full",
            False,
            bool,
            help="Whether to rank the test targets among the whole catalogue, too, "
            "after training or evaluation.",
        ),
        Setting(
            "evaluate_full_sample",
            None,
            int,
            range=Range(1, 10**9),
            is_optional=True,
            help="Number of test targets of each task that evaluate_full ranks, drawn "
            "by the seed; all by default.",
        ),
        Setting(
            "verbose",
            "epochs",
            choices=VERBOSITIES,
            help="Amount of output during training. epochs: one line for each epoch; "
            "all: all numbers of each epoch; none: nothing.",
        ),
        Setting(
            "simulated_dataset_dir",
            None,
            is_optional=True,
            help="Folder of a small simulated dataset. It is made if dataset_dir is "
            "the same folder and is missing.",
        ),
        Setting(
            "flagfile",
            None,
            is_optional=True,
            help="File with one flag on each line; later flags override its flags.",
        ),
    )
}
