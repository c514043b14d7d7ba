"""What the notebooks add: figures that move, published results, exercises that answer."""
