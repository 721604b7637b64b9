"""What checkers quote of values is the name of their key."""

from __future__ import annotations

import pytest

from pyconfd.apply.value_names import without_values
from pyconfd.model.keys import KeyValue


@pytest.mark.parametrize(
    ("output", "named"),
    [
        (
            'nginx: [emerg] host not found in upstream "db.secret.example:80" in /etc/a.conf:3',
            "nginx: [emerg] host not found in upstream "
            '"(the value of /app/host):80" in /etc/a.conf:3',
        ),
        ("could not resolve address 's3cr3t.example'.", "could not resolve address "
         "'(the value of /app/server)'."),
        ('unknown directive "db.secret.example"', 'unknown directive "(the value of /app/host)"'),
        ('nginx: "on" is not nginx', 'nginx: "on" is not nginx'),
        ('invalid port in upstream "10.0.0.1:99999"', 'invalid port in upstream "10.0.0.1:99999"'),
        ("could not resolve 'port.example'", "could not resolve '(the value of /app/port)'"),
        ("nothing quoted: db.secret.example", "nothing quoted: db.secret.example"),
        ('an open " quote', 'an open " quote'),
    ],
)  # fmt: skip
def test_quoted_values_become_the_names_of_their_keys(output: str, named: str) -> None:
    """Whole or in part, of plain values and of texts in JSON; words that are no secret stay."""
    keys = [
        KeyValue("/app/host", b"db.secret.example", 5),
        KeyValue("/app/server", b'{"addr": "s3cr3t.example", "weight": 5}', 5),
        KeyValue("/app/state", b"on", 5),
        KeyValue("/app/what", b"nginx", 5),
        KeyValue("/app/port", b"port.example:80", 5),
        KeyValue("/app/address", b"10.0.0.1:99999", 5),
        KeyValue("/app/raw", b"\xff\xfe{", 5),
    ]
    assert without_values(output, keys) == named
