"""What is known about a template without a render: for `pyconfd check`."""
