"""
Checks nginx in context: the only service whose check is built in.

Read in this order: shadow (a copy of the configuration with the staged files in their places),
shadow_tree (how it is made), include_glob, text and paths (nginx's rules for names and words).
"""
