"""Random clusters, planned by us and by the peer: what differs is shrunk to the smallest CIB that still does."""
