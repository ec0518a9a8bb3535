"""Trains a model and writes its report.

python train.py --config=configs/synthetic_faces.py --workdir=runs/demo
"""

import pathlib
import re
import sys

from absl import app, flags
from ml_collections import config_flags

from configs import common
from emotion_gcn_jax import runtime
from emotion_gcn_jax.errors import UserError

_CONFIG = config_flags.DEFINE_config_file("config", None, "The config file; configs/common.py has every field.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where checkpoints, TensorBoard's scalars and the report are written.")
_RESUME = flags.DEFINE_bool("resume", False, "Go on from the working directory's last checkpoint, if it has one.")


def main(argv: list[str]) -> None:
    """Hands the flags to the training loop."""
    if len(argv) > 1:
        raise UserError(f"Unexpected argument {argv[1]!r}: flags are written --name=value.")
    if not _WORKDIR.value:
        raise UserError("--workdir is empty: name a folder for the run, such as --workdir=runs/first.")
    runtime.set_up()
    from emotion_gcn_jax.training import loop  # after the set-up: it loads TensorFlow

    loop.train_and_evaluate(_CONFIG.value, _WORKDIR.value, resume=_RESUME.value)


def parse_flags(argv: list[str]) -> list[str]:
    """Answers an unknown config file or field with the known ones, which absl would do with a traceback."""
    words = iter(argv[1:])
    for word in words:
        match = re.fullmatch(r"--?config(\.[\w.]+)?(?:=(.*))?", word, re.DOTALL)
        if match is None:
            continue
        field, value = match.groups()
        if field:
            _check_field(field.removeprefix("."))
        else:
            _check_file(next(words, "") if value is None else value)
    return app.parse_flags_with_usage(argv)


def _check_file(value: str) -> None:
    path = pathlib.Path(value.partition(":")[0])
    if path.suffix != ".py" or path.name == "common.py" or not path.is_file():
        known = ", ".join(str(file) for file in sorted(pathlib.Path("configs").glob("*.py")) if file.stem != "common")
        wrong = f"{path} names no dataset" if path.name == "common.py" else f"There is no config file {path}"
        raise UserError(f"{wrong}: choose one of {known or 'those in configs/'}.")


def _check_field(path: str) -> None:
    fields, walked = common.get_config(), "config"
    for name in path.split("."):
        if not hasattr(fields, "keys") or name not in fields:
            known = f"choose one of {', '.join(fields.keys())}" if hasattr(fields, "keys") else "it is a value"
            raise UserError(f"Unknown field {name!r} of {walked}: {known}.")
        fields, walked = fields[name], f"{walked}.{name}"


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    try:
        app.run(main, flags_parser=parse_flags)
    except UserError as error:
        print(f"train.py: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\ntrain.py: stopped; --resume goes on from the last checkpoint, if there is one.", file=sys.stderr)
        sys.exit(130)
