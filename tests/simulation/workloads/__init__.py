"""What runs above the core in a simulated process."""
