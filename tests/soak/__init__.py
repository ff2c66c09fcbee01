"""Whole daemons under faults that nobody has thought of together: drawn by a seed, for as long as one likes."""
