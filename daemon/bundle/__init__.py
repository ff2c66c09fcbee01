"""Support bundles: what every node knows in one archive, without secrets, and that archive opened again elsewhere."""
