"""Fakes that stand in for the world; shipped, and imported by nothing in the program."""
