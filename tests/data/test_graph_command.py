"""`emotion-gcn graph` on a build: the file it writes is the one that training takes."""

import numpy as np
import pytest
from scipy import stats

from emotion_gcn_jax import cli, presets
from emotion_gcn_jax.graph import adjacency
from emotion_gcn_jax.graph.nodes import nodes_of
from emotion_gcn_jax.tasks import registry


def test_the_file_holds_the_correlations_of_the_split(train, data_dir, tmp_path, capsys):
    output, plot = tmp_path / "adjacency.csv", tmp_path / "graph.png"
    arguments = ["graph", "--dataset=tiny_faces", f"--data-dir={data_dir}", f"--output={output}", f"--plot={plot}"]
    assert cli.main(arguments) == 0
    tasks = registry.from_config({name: dict(presets.TASKS[name]) for name in ("expression", "affect")})
    correlations = adjacency.read_correlations(output, nodes_of(tasks))
    expression, valence, arousal = (train.columns[name] for name in ("expression", "valence", "arousal"))
    complete = (expression >= 0) & ~np.isnan(valence) & ~np.isnan(arousal)
    expected = stats.spearmanr((expression == 1)[complete], arousal[complete]).statistic
    assert correlations[1, 8] == pytest.approx(expected, abs=1e-12)
    printed = capsys.readouterr().out
    assert f"{expected:+.2f}" in printed
    assert f"--config.graph.correlations={output} --config.graph.threshold=0.1" in printed
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_vocabulary_of_ones_own_makes_the_nodes(data_dir, tmp_path):
    output = tmp_path / "adjacency.csv"
    arguments = ["graph", "--dataset=tiny_faces", f"--data-dir={data_dir}", f"--output={output}"]
    assert cli.main([*arguments, "--vocabulary=sad,happy"]) == 0
    assert output.read_text().splitlines()[0] == ",Sad,Happy,Valence,Arousal"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split=test", "--output={}/a.csv"], "splits train, validation, odd, unreadable, and found 'test'"),
        (["--output={}/a.csv", "--plot={}/a.csv"], "--plot draws a PNG file"),
        (["--output={}/a file/a.csv"], "a file/a.csv cannot be written (File exists): choose another path."),
        (["--output={}/a.csv", "--vocabulary=happy"], "two or more different classes"),
        (
            ["--output={}/a.csv", "--vocabulary=Neutral,Hapy,Sad"],
            "and --vocabulary names Hapy as well: set it to classes that the dataset has, such as --vocabulary=Neu",
        ),
    ],
    ids=["split", "plot", "output", "vocabulary", "a class that is none"],
)
def test_mistakes_get_a_sentence(data_dir, tmp_path, capsys, options, message):
    (tmp_path / "a file").touch()
    arguments = ["graph", "--dataset=tiny_faces", f"--data-dir={data_dir}"]
    assert cli.main([*arguments, *(option.format(tmp_path) for option in options)]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]
