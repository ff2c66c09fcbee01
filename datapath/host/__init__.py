"""What a host needs besides rules: addresses, kernel settings, and frames to the shared MAC let in."""
