"""What writes the generated parts of the book, and the notebooks' Colab pairs."""
