"""What people use today, each driven as its own documentation does."""
