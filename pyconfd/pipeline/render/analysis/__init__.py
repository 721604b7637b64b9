"""What can be known of a template without a render: for `pyconfd check`."""
