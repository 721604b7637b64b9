"""
Converts Go templates to Jinja2 as a person would write it. Pure; for `pyconfd migrate` only.

Read in this order: actions (a text taken apart), naming (names of variables), expressions,
template (statements), whitespace (which markers it needs).
"""
