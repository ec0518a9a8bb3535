import pytest

from emotion_gcn_jax import cli

SUBCOMMANDS = [[], ["predict"], ["evaluate"], ["graph"], ["convert"]]


@pytest.mark.parametrize("words", SUBCOMMANDS)
def test_help_fits_one_screen_and_shows_an_example(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as left:
        cli.main([*words, "--help"])
    assert left.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 100
    example = " ".join(["  emotion-gcn", *(words or ["predict"])])
    assert any(line.startswith(f"{example} --") for line in lines)


@pytest.mark.parametrize("words", [[], ["guess"], ["predict", "photo.jpg"], ["predict", "--checkpoint", "runs/demo"]])
def test_mistakes_in_the_command_end_with_2(words, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(words)
    assert left.value.code == 2
    assert "usage: emotion-gcn" in capsys.readouterr().err
