"""Rendered faces with known labels (the dataset synthetic_faces). Nothing here imports JAX or TensorFlow."""
