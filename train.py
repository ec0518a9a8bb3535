"""Trains a model and writes its report.

python train.py --config=configs/synthetic_faces.py --workdir=runs/demo
"""

import itertools
import pathlib
import re
import runpy
import sys
import traceback

import ml_collections
from absl import app, flags
from ml_collections import config_flags

from emotion_gcn_jax import old_formats, processes, runtime
from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.files import user_path

_CONFIG = config_flags.DEFINE_config_file("config", None, "The config file; configs/common.py has every field.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where checkpoints, TensorBoard's scalars and the report are written.")
_RESUME = flags.DEFINE_bool("resume", False, "Continue from the working directory's last checkpoint, if it has one.")

_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "Train together with the processes that Slurm, a TPU pod or Open MPI started."
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "Train together with others without such a launcher: HOST:PORT of the first process."
)
_PROCESSES = flags.DEFINE_integer("processes", None, "With --coordinator: how many there are.")
_PROCESS = flags.DEFINE_integer("process", None, "With --coordinator: which this one is, from 0.")

_CONFIG_OPTION = re.compile(r"--?config(?:\.(?P<field>[\w.]+))?(?:=(?P<value>.*))?", re.DOTALL)
_HOME = re.compile(r"^(--?config=)(~.*)", re.DOTALL)


def main(argv: list[str]) -> None:
    """Hands the flags to the training loop."""
    if len(argv) > 1:
        raise UserError(f"Unexpected argument {argv[1]!r}: flags are written --name=value.")
    if not _WORKDIR.value:
        raise UserError("--workdir is empty: name a folder for the run, such as --workdir=runs/first.")
    runtime.set_up()
    _join()
    from emotion_gcn_jax.training import interruption, loop  # after the set-up: it loads TensorFlow

    try:
        with processes.noticing_deaths():
            loop.train_and_evaluate(_CONFIG.value, _WORKDIR.value, resume=_RESUME.value)
    except interruption.Preempted as saved:
        print(f"train.py: {saved}", file=sys.stderr)
        sys.exit(interruption.STATUS)


def _join() -> None:
    """Makes this process one of several, if it is to be."""
    named = [_COORDINATOR.value, _PROCESSES.value, _PROCESS.value]
    if any(value is not None for value in named):
        if None in named:
            raise UserError("--coordinator, --processes and --process belong together: give all three.")
        processes.join(*named)
    elif _DISTRIBUTED.value:
        processes.join_launched()


def parse_flags(argv: list[str]) -> list[str]:
    """Answers an unknown config file, field or flag and a value of the wrong type in one sentence, as absl does not."""
    argv = [_HOME.sub(lambda found: found[1] + str(user_path(found[2])), word) for word in argv]
    following = itertools.pairwise([*argv, ""])
    options = [(match, after) for word, after in following if (match := _CONFIG_OPTION.fullmatch(word))]
    files = [after if match["value"] is None else match["value"] for match, after in options if not match["field"]]
    if files:
        config = _read_config(files[-1])
        for match, _ in options:
            if match["field"]:
                _check_field(config, match["field"])
    try:
        return flags.FLAGS(argv)
    except (flags.Error, TypeError, ValueError, RecursionError) as error:  # absl looks for similar names by recursion
        raise UserError(f"The flags cannot be read ({' '.join(str(error).split())[:300]}): correct them.") from None


def _read_config(value: str) -> ml_collections.ConfigDict:
    """The config of a file with its argument, FILE:ARGUMENT."""
    file, _, argument = value.partition(":")
    path = pathlib.Path(file)
    if path.suffix != ".py" or path.name == "common.py" or not path.is_file():
        known = ", ".join(str(file) for file in sorted(pathlib.Path("configs").glob("*.py")) if file.stem != "common")
        wrong = f"{path} names no dataset" if path.name == "common.py" else f"There is no config file {path}"
        raise UserError(f"{wrong}: choose one of {known or 'those in configs/'}.")
    get_config = runpy.run_path(file).get("get_config")
    if get_config is None:
        raise UserError(f"{path} has no function get_config: see configs/synthetic_faces.py for what it returns.")
    return get_config(argument) if argument else get_config()


def _check_field(config: ml_collections.ConfigDict, path: str) -> None:
    fields, walked = config, "config"
    for name in path.split("."):
        if not hasattr(fields, "keys") or name not in fields:
            if today := old_formats.todays_field(path):
                raise UserError(f"The field config.{path} of earlier versions is now {today}.")
            known = f"choose one of {', '.join(fields.keys())}" if hasattr(fields, "keys") else "it is a value"
            raise UserError(f"Unknown field {name!r} of {walked}: {known}.")
        fields, walked = fields[name], f"{walked}.{name}"


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    try:
        app.run(main, flags_parser=parse_flags)
    except UserError as error:
        print(f"train.py: {error}", file=sys.stderr)
        processes.leave(2)
    except KeyboardInterrupt:
        print("\ntrain.py: stopped; --resume continues from the last checkpoint, if there is one.", file=sys.stderr)
        processes.leave(130)
    except Exception as error:
        if not isinstance(error, OSError) or error.filename is None:
            traceback.print_exc()
            processes.leave(1)
        # Such as a name that is longer than the system takes.
        print(f"train.py: {error.filename} cannot be used ({error.strerror}): choose another.", file=sys.stderr)
        processes.leave(2)
