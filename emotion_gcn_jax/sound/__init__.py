"""Sound that goes with videos of faces; no JAX."""
