"""`emotion-gcn graph` on a build: the file it writes is the one that training takes."""

import numpy as np
import pytest
from scipy import stats

from emotion_gcn_jax import cli
from emotion_gcn_jax.graph import adjacency


def test_the_file_holds_the_correlations_of_the_split(train, data_dir, tmp_path, capsys):
    output, plot = tmp_path / "adjacency.csv", tmp_path / "graph.png"
    arguments = ["graph", "--dataset=tiny_faces", f"--data-dir={data_dir}", f"--output={output}", f"--plot={plot}"]
    assert cli.main(arguments) == 0
    correlations = adjacency.read_correlations(output)
    complete = (train.expression >= 0) & ~np.isnan(train.valence) & ~np.isnan(train.arousal)
    expected = stats.spearmanr((train.expression == 1)[complete], train.arousal[complete]).statistic
    assert correlations[1, 8] == pytest.approx(expected, abs=1e-12)
    printed = capsys.readouterr().out
    assert (
        f"{expected:+.2f}" in printed
        and f"--config.graph.correlations={output} --config.graph.threshold=0.1" in printed
    )
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_mistakes_get_a_sentence(data_dir, tmp_path, capsys):
    dataset = ["graph", "--dataset=tiny_faces", f"--data-dir={data_dir}"]
    assert cli.main([*dataset, f"--output={tmp_path / 'nowhere' / 'a.csv'}"]) == 2
    assert "cannot be written (No such file or directory): choose another path." in capsys.readouterr().err
    assert cli.main([*dataset, "--split=test", f"--output={tmp_path / 'a.csv'}"]) == 2
    assert "splits train, validation, odd, unreadable, and found 'test'" in capsys.readouterr().err
    assert cli.main([*dataset, f"--output={tmp_path / 'a.csv'}", f"--plot={tmp_path / 'a.csv'}"]) == 2
    assert "--plot draws a PNG file" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
