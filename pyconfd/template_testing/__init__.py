"""
For operators' tests of their templates: `pyconfd.render`, and a fixture for pytest.

Made of what the daemon renders with: its settings, resources, store and renderer.
"""
