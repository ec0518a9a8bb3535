"""The command `tfds` without what TensorFlow and Beam say when they are loaded.

python -m emotion_gcn_jax.tfds build tfds_builders/synthetic_faces --config=demo
"""

import json
import logging
import sys

from emotion_gcn_jax import runtime
from emotion_gcn_jax.errors import UserError, extra


def main() -> None:
    """Runs the command line of tensorflow_datasets."""
    runtime.silence_tensorflow()
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # Beam warns of Google Cloud's missing client when it is imported
    with extra("train", "building a dataset"):
        from tensorflow_datasets.scripts.cli.main import launch_cli

    root.setLevel(level)
    launch_cli()


if __name__ == "__main__":
    try:
        main()
    except json.JSONDecodeError as error:  # TFDS reads none but that of its options
        print(f"tfds: A config in JSON is damaged ({error}): correct --config='{{...}}'.", file=sys.stderr)
        sys.exit(2)
    except UserError as error:
        print(f"tfds: {error}", file=sys.stderr)
        sys.exit(2)
