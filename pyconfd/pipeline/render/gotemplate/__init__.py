"""
Templates in the language of Go's text/template with confd's functions.

The door is environment.py, imported when the first Go template is there. The way of a template:
lexer -> parser (syntax.py) -> translate (Jinja2's nodes) -> codegen; what its code calls are the
values and functions of Go in values, printing, printf, builtins and the tables of functions.
"""
