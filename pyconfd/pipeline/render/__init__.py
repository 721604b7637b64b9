"""
The first step: a template and a view of a snapshot become text, and what was read is noted.

Read in this order: renderer (the entry), view (what one resource sees of the store), environment
(Jinja2; with codegen, branch_marks and template_errors the only place that knows it),
function_table and functions/ (what templates can call), value_checks and formats (which values are
allowed where), provenance (from a place in the output back to its key).
"""
