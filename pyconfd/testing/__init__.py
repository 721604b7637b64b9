"""Fakes that stand in for the world, for the tests; not in the wheel."""
