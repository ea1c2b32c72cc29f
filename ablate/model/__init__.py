"""Encoders, drop path and checkpoints."""
