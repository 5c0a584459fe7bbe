"""The blocks of pipelines/README.md that show the job run as they stand there."""

import re

from pipelines.logs import __main__ as job
from pipelines.logs.settings import read_toml
from sar_tf.data.dataset import SequenceDataset


def test_the_page(repository, tmp_path, monkeypatch):
    readme = (repository / "README.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^```csv\n(.*?)^```", readme, re.M | re.S)
    page = (repository / "pipelines" / "README.md").read_text(encoding="utf-8")
    section = page[page.index("## Your own tables") :].split("\n## ")[0]
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", section, re.M | re.S)
    assert [kind for kind, _ in blocks] == ["bash", "toml", "bash"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.csv").write_text(table)
    for index in (0, 2):
        words = blocks[index][1].split()
        assert words[:3] == ["python", "-m", "pipelines.logs"]
        job.main(words[3:])
        if index == 0:
            (tmp_path / "shown.toml").write_text(blocks[1][1])
            written = read_toml(tmp_path / "shop.toml")
            shown = read_toml(tmp_path / "shown.toml")
            assert shown == {name: written[name] for name in shown}
    assert SequenceDataset.open(tmp_path / "data" / "shop").info.num_users == 3
