"""Differentiable inner optimizers and the loop over them."""
