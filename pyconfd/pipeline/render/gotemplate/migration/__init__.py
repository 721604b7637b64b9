"""
From Go templates to the Jinja2 that a person would have written. Pure; for `pyconfd migrate` only.

Read in this order: actions (a text taken apart), naming (names of variables), expressions,
template (statements), whitespace (which markers it needs).
"""
