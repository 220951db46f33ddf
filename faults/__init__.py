"""Fault injection with real processes: `make faults` checks that runs survive each fault."""
