"""Faces: cutting them out of photographs, and rendering synthetic ones. Nothing here imports JAX or TensorFlow."""
