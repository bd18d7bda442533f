"""Damaged, hostile and senseless input, made from sound files, thrown at everything that reads some."""
