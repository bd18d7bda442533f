"""Meta-learning algorithms, one paper a file."""
