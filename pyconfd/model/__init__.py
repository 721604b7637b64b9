"""
The values that flow. Frozen, with no behaviour beyond derivation and checks of themselves.

Read in this order: keys (what a store says), resources (what the operator declares),
steps (what the pipeline makes of both).
"""
