"""Two photographs of faces, in the public domain, that installed packages ship."""

import pathlib

import matplotlib
import skimage

ASTRONAUT = pathlib.Path(skimage.__file__).parent / "data" / "astronaut.png"
GRACE_HOPPER = pathlib.Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
