"""What belongs to no step of the flow; each module is imported by its name."""
