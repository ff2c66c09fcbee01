"""vipcast as a service of hosts whose process 1 is the machine's own systemd."""
