"""The blocks of pipelines/README.md that show the job run as they stand there."""

import os
import re
import subprocess
import sys

from pipelines.logs.settings import read_toml


def test_the_page(repository, tmp_path):
    text = (repository / "pipelines" / "README.md").read_text(encoding="utf-8")
    section = text[text.index("## Your own tables") :]
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", section, re.M | re.S)
    assert [kind for kind, _ in blocks] == ["csv", "bash", "toml", "bash"]
    (tmp_path / "shop.csv").write_text(blocks[0][1])
    commands = blocks[1][1] + blocks[3][1]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    for command in commands.splitlines():
        words = command.replace("experiments/", f"{repository}/experiments/").split()
        assert words.pop(0) == "python"
        subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if "--describe" in command:
            (tmp_path / "shown.toml").write_text(blocks[2][1])
            written = read_toml(tmp_path / "shop.toml")
            shown = read_toml(tmp_path / "shown.toml")
            assert shown == {name: written[name] for name in shown}
    assert list((tmp_path / "runs" / "shop" / "saved_model").iterdir())
