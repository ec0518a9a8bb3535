"""Trains a model and writes its report.

python train.py --config=configs/synthetic_faces.py --workdir=runs/demo
"""

import sys

from absl import app, flags
from ml_collections import config_flags

from emotion_gcn_jax import runtime
from emotion_gcn_jax.errors import UserError

_CONFIG = config_flags.DEFINE_config_file("config", None, "The config file; configs/common.py has every field.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where checkpoints, TensorBoard's scalars and the report are written.")
_RESUME = flags.DEFINE_bool("resume", False, "Go on from the working directory's last checkpoint, if it has one.")


def main(argv: list[str]) -> None:
    """Hands the flags to the training loop."""
    runtime.set_up()
    from emotion_gcn_jax.training import loop

    if len(argv) > 1:
        raise UserError(f"Unexpected argument {argv[1]!r}: flags are written --name=value.")
    loop.train_and_evaluate(_CONFIG.value, _WORKDIR.value, resume=_RESUME.value)


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    try:
        app.run(main)
    except UserError as error:
        print(f"train.py: {error}", file=sys.stderr)
        sys.exit(2)
