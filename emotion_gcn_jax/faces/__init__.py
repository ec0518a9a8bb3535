"""Faces in photographs: reading pictures, finding faces, cutting them out. Nothing here imports JAX or TensorFlow."""
