"""Plancton on a machine of its own: a kernel, cgroup v2 with all controllers, reboots."""
