"""How each family of pipelines is called to draw, and what its denoiser then sees."""
