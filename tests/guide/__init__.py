"""The commands of README and guide, typed on hosts that systemd runs (`make test-guide`)."""
