"""Utilities that belong to no step of the flow; import each module by its name."""
