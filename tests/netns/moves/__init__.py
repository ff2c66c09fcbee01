"""Slots that move under a storm of SYNs: who answered which, and how late."""
