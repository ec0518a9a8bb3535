"""The command `tfds` without what TensorFlow and Beam say when they are loaded.

python -m emotion_gcn_jax.tfds build tfds_builders/synthetic_faces
"""

import logging

from emotion_gcn_jax import runtime


def main() -> None:
    """Runs the command line of tensorflow_datasets."""
    runtime.silence_tensorflow()
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # Beam warns of Google Cloud's missing client when it is imported
    from tensorflow_datasets.scripts.cli.main import launch_cli

    root.setLevel(level)
    launch_cli()


if __name__ == "__main__":
    main()
