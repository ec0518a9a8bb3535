"""Weights in and out: the official PyTorch checkpoints, published weights of trunks, and our checkpoints."""
