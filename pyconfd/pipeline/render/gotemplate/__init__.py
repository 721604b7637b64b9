"""
Templates in the language of Go's text/template with confd's functions.

environment.py is the entry, imported for the first Go template. A template goes through lexer ->
parser (syntax.py) -> translate (Jinja2's nodes) -> codegen; its code calls Go's values and
functions in values, printing, printf, builtins and the tables of functions.
"""
