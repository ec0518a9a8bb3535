"""`python -m emotion_gcn_jax.cli` is `emotion-gcn`."""

import sys

from emotion_gcn_jax.cli.command import main

sys.exit(main())
