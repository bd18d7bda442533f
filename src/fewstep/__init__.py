"""Few-shot meta-learning for PyTorch."""
