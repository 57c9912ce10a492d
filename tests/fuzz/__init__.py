"""Inputs that nobody should send, and what the commands promise to do with them."""
