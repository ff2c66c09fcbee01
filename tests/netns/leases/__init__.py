"""The end of a lease, seen from outside: what a host accepts after its deadline, by captures with kernel stamps."""
