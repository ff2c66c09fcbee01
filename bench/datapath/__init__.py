"""What the engines cost, beside no filter and beside the peer's rules: `make bench-datapath`.

One run measures everything and writes docs/performance/datapath.md with its plot.  Who uses the machine besides makes
all times longer; so whatever is compared is measured in turn, a few hundred microseconds each, over and over, and the
page has ratios of medians.
"""
