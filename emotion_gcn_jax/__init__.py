"""Emotion-GCN in JAX and Flax: seven expressions, valence and arousal from one face image."""
