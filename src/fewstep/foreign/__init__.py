"""Learners that are not ours, as the audit sees them."""
