"""Diffusers models: load, read and write weights, draw."""
