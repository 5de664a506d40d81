"""Keepers of facts from outside the watches: load, power models, pod usage, clock, Lease, measured power, rivals."""
