"""
The values that flow. Frozen, with no behaviour beyond derivation and checks of themselves.

Read in this order: keys (what a store holds), resources (what the operator declares), reload_spec
(how a service is reloaded), debt (a pending reload), steps (what the pipeline makes of them).
"""
