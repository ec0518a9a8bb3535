"""Every command in README.md, docs/ and the builders' pages fits what is there: subcommands, flags, configs, files.

None is run here: test_running_documented_commands.py runs them, and says why it does not run the others.
"""

import dataclasses
import importlib
import inspect
import pathlib
import re
import shlex
import sys
import tomllib

import pytest
from absl.testing import flagsaver
from tensorflow_datasets.scripts.cli import build

import train
from emotion_gcn_jax.cli import command
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.models import emotion_net
from emotion_gcn_jax.presets import NO_TRUNK
from emotion_gcn_jax.tasks import registry
from emotion_gcn_jax.training import checks

pytestmark = pytest.mark.once

REPOSITORY = pathlib.Path(__file__).parents[1]
PAGES = [page for place in (".", "docs", "tfds_builders/*") for page in sorted(REPOSITORY.glob(f"{place}/*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
PATH = re.compile(r"(tests|benchmarks|configs|docs|tfds_builders|emotion_gcn_jax)/[\w./]+")
BEFORE_A_COMMAND = re.compile(r"do|time|\w+=.*")


def commands(page):
    """The words of each command of a page, and whether it stands in a block: within a line it may be a part of one."""
    text = page.read_text()
    blocks = "".join(body for language, body in FENCED.findall(text) if language != "python")
    text = FENCED.sub("", text)
    lines = [line for line in text.splitlines() if line.startswith("    ")]
    prose = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
    joined = re.sub(r"\\\n\s*", "", "\n".join([*lines, blocks]))
    for code, whole in ((joined.splitlines(), True), (INLINE.findall(prose), False)):
        for line in code:
            for words in split(line):
                if kind(words):
                    yield words, whole


def split(line):
    """The simple commands of a line, without redirections and comments; none of a line that is no shell."""
    lexer = shlex.shlex(re.sub(r"\$\{?\w+\}?", "1", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = [[]]
    try:
        for word in lexer:
            if set(word) <= set(";&|<>()"):
                words.append([])
            elif words[-1] or not BEFORE_A_COMMAND.fullmatch(word):
                words[-1].append(word)
    except ValueError:  # an apostrophe in a file's contents, say
        return []
    return words


def kind(words):
    """What checks a command, by its first words; None if nothing does, or if only the program is named."""
    for first, check in CHECKS.items():
        if re.match(first, " ".join(words)) and len(words) > 1:
            return check
    return None


def check_emotion_gcn(words, whole, capsys):
    try:
        command.parser().parse_args(words[1:])
    except SystemExit as left:
        wrong = capsys.readouterr().err
        assert left.code == 0 or (not whole and re.search("arguments .*required", wrong)), wrong


def check_train(words, monkeypatch):
    monkeypatch.setattr(sys, "argv", words[1:])
    with flagsaver.flagsaver():  # or the next command, or another test's, would find these values
        try:
            train.parse_flags(words[1:])
        except SystemExit:
            raise AssertionError("train.py does not take these flags") from None
        config = train._CONFIG.value
    registry.from_config(config.tasks)
    checks.check_numbers(config)
    assert config.model.trunk in emotion_net.TRUNKS or (config.model.hearing and config.model.trunk == NO_TRUNK)


def check_tfds(words):
    """By the fields of the command's arguments: its parser would take train.py's flags for its own."""
    options = dict(word.split("=", 1) for word in words if word.startswith("--"))
    assert {name.removeprefix("--") for name in options} <= set(field_names(build.Args))
    for folder in words[words.index("build") + 1 :]:
        if folder.startswith("tfds_builders/"):
            module = f"{folder.replace('/', '.')}.{pathlib.PurePath(folder).name}_dataset_builder"
            known = importlib.import_module(module).Builder.builder_configs
            config = options.get("--config", "{")
            assert config.startswith("{") or config in known


def field_names(arguments):
    """The names of a dataclass's fields, and of those that are dataclasses themselves."""
    for field in dataclasses.fields(arguments):
        yield field.name
        if dataclasses.is_dataclass(field.type):
            yield from field_names(field.type)


def check_benchmark(words):
    (name,) = re.findall(r"benchmarks[/.](\w+)", " ".join(words[:3]))
    text = (REPOSITORY / "benchmarks" / f"{name}.py").read_text()
    known = re.findall(r'add_argument\(\s*"--([\w-]+)"|DEFINE_\w+\(\s*"(\w+)"', text)
    for word in words:
        if word.startswith("--"):
            assert word[2:].partition("=")[0] in {flag for pair in known for flag in pair}


def check_make(words):
    text = (REPOSITORY / "Makefile").read_text()
    for target in words[1:]:
        assert "=" in target or target.startswith("-") or re.search(rf"^{target}:", text, re.MULTILINE)


def check_pip(words):
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for names in re.findall(r"(?:\.|emotion-gcn-jax)\[([\w,]+)\]", " ".join(words)):
        assert set(names.split(",")) <= extras.keys()


def check_pytest(words):
    paths = words[1 : words.index("-k")] if "-k" in words else words[1:]
    for path in paths:
        assert (REPOSITORY / path.partition("::")[0]).exists()


CHECKS = {
    "emotion-gcn ": check_emotion_gcn,
    r"python train\.py ": check_train,
    r"(python -m emotion_gcn_jax\.)?tfds build ": check_tfds,
    r"python (-m benchmarks\.|benchmarks/)": check_benchmark,
    "make ": check_make,
    "pip install ": check_pip,
    "pytest ": check_pytest,
}
FOUND = {(shlex.join(words), whole): page.relative_to(REPOSITORY) for page in PAGES for words, whole in commands(page)}


def test_the_pages_have_commands():
    assert len(FOUND) > 100
    assert {kind(shlex.split(line)) for line, _ in FOUND} == set(CHECKS.values())


@pytest.fixture
def fits(capsys, monkeypatch):
    """A function that checks a command."""
    monkeypatch.chdir(REPOSITORY)

    def check(line, whole):
        words = shlex.split(line)
        given = {"words": words, "whole": whole, "capsys": capsys, "monkeypatch": monkeypatch}
        checked = kind(words)
        checked(**{name: given[name] for name in inspect.signature(checked).parameters})

    return check


@pytest.mark.parametrize(("line", "whole"), FOUND)
def test_a_command_fits_what_is_there(fits, line, whole):
    fits(line, whole)


@pytest.mark.parametrize(
    "line",
    [
        "emotion-gcn predict --overlays marked photo.jpg",
        "emotion-gcn evaluate --images my_faces",
        "python train.py --config=configs/nothing.py --workdir=runs/first",
        "python train.py --config=configs/affectnet.py --config.optimizer.rate=1 --workdir=runs/first",
        "python train.py --config=configs/affectnet.py --works=runs/first",
        "tfds build tfds_builders/fer2013 --config=fer --manual_dir=FOLDER",
        "tfds build tfds_builders/fer2013 --manual=FOLDER",
        "python benchmarks/folding.py --trunks densenet121",
        "python -m benchmarks.nothing --trunk densenet121",
        "make demos",
        "pip install -e '.[training]'",
        "pytest tests/nothing",
    ],
)
def test_a_command_that_does_not_fit_is_noticed(fits, line):
    with pytest.raises((AssertionError, UserError, FileNotFoundError)):
        fits(line, True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_files_that_a_page_names_are_there(page):
    named = {word for code in INLINE.findall(FENCED.sub("", page.read_text())) for word in code.split()}
    missing = [name for name in named if PATH.fullmatch(name) and not (REPOSITORY / name).exists()]
    assert not missing
