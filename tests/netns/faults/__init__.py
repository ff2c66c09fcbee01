"""Whole daemons under faults, clients and an administrator all the while."""
