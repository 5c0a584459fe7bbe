"""The README's code runs as it stands there, in a process of its own."""

import os
import re
import subprocess
import sys

import pytest

# Sizes that say the same in a fraction of the time.
SMALLER = {
    "hidden_dim=32)": "hidden_dim=8, embedding_dim=8, expert_units=8, "
    "tower_units=(8,), prediction_units=(8,))",
    "epochs=2": "epochs=1",
    "batch_size=256": "batch_size=1024, num_groups=1",
}


@pytest.fixture(scope="module")
def section(repository):
    """From a heading of the README to the code blocks below it, by language."""
    text = (repository / "README.md").read_text(encoding="utf-8")

    def blocks(heading):
        own = re.search(rf"^## {heading}\n(.*?)(?=^## )", text, re.M | re.S)[1]
        return re.findall(r"^```(\w*)\n(.*?)^```", own, re.M | re.S)

    return blocks


@pytest.fixture
def folder(tmp_path, simulated_dataset):
    """An empty folder with the dataset where the README has it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "quickstart").symlink_to(simulated_dataset)
    return tmp_path


def run(folder, repository, *command):
    path = os.pathsep.join([str(folder), str(repository)])
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    ).stdout


def test_your_own_data(section, tmp_path, repository):
    (_, table), (_, commands), (_, request), *_ = section("Your own data")
    (tmp_path / "shop.csv").write_text(table, encoding="utf-8")
    (tmp_path / "user.json").write_text(request, encoding="utf-8")
    for command in commands.splitlines():
        program, *words = command.split()
        assert program == "python"
        if words[0] != "-m":
            words[0] = repository / words[0]
        printed = run(tmp_path, repository, *words)
    # What the last command prints: a line an item, behind its score.
    assert sorted(line.split()[-1] for line in printed.splitlines()) == ["p1", "p5"]


def test_from_python(section, folder, repository):
    ((_, code),) = [block for block in section("From Python") if block[0] == "python"]
    for ours, smaller in SMALLER.items():
        assert ours in code
        code = code.replace(ours, smaller)
    (folder / "notebook.py").write_text(code, encoding="utf-8")
    run(folder, repository, "notebook.py")
    load = (
        "import sar_tf; "
        "model = sar_tf.load_model('unisar.keras'); "
        "data = sar_tf.open_dataset('data/quickstart'); "
        "print(sorted(model.predict(data.test(), verbose=0)))"
    )
    assert "['rec', 'search']" in run(folder, repository, "-c", load)
    assert (folder / "saved_model" / "1" / "saved_model.pb").is_file()


def test_own_model(section, folder, repository):
    blocks = section("Your own model")
    (folder / "mean_model.py").write_text(blocks[0][1], encoding="utf-8")
    flags = blocks[1][1].replace("--epochs=2", "--epochs=1")
    (folder / "mean_model.flags").write_text(flags, encoding="utf-8")
    program, *arguments = blocks[2][1].split()[2:]
    printed = run(folder, repository, repository / program, *arguments)
    assert "mean_model:MeanModel" in printed
    assert (folder / "runs" / "mean" / "metrics.json").is_file()
    assert (folder / "runs" / "mean" / "saved_model" / "1").is_dir()
