"""The node attribute that says how much of an address a node serves."""

from __future__ import annotations

WEIGHT = "slot-weight"
"""how many times the share of a node of weight 1 a node gets of an address's slots"""
WEIGHT_MAX = 1_000
