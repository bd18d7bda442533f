"""The report of a run: figures as PNG files, and one self-contained page that shows everything."""
