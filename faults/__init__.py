"""What must hold while parts of a run die, tried with real processes: `make faults`."""
