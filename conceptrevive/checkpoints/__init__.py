"""Safetensors files and folders, read and edited without loading a model."""
