"""Checkpoints of the official code (jeykigung/P5, jeykigung/VIP5), imported as backbones."""
