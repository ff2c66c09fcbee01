"""What is measured, one command each (`make bench BENCH=gap`), as ratios against a peer or a limit."""
