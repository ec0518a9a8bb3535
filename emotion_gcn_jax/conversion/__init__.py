"""Weights in and out: the official PyTorch checkpoints, torchvision's ImageNet weights, and our checkpoints."""
