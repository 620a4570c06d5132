"""Teaches the encoder: network, losses, the training loop, export. The only package that needs torch."""
