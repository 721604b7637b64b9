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
        ("nothing quoted: db.secret.example.", "nothing quoted: (the value of /app/host)."),
        ("host db.secret.example:80: refused", "host (the value of /app/host):80: refused"),
        ("it's db.secret.example", "it's (the value of /app/host)"),
        ("in /etc/db.secret.example/x and db.secret.example.conf:3",
         "in /etc/db.secret.example/x and db.secret.example.conf:3"),
        ("user=tok=en;1 x", "user=(the value of /app/odd) x"),
        ("no such word: secondline", "no such word: (the value of /app/lines)"),
        ("nginx: 10.0.0.1:99999 is no port", "nginx: 10.0.0.1:99999 is no port"),
        ('an open " quote', 'an open " quote'),
    ],
)  # fmt: skip
def test_values_become_the_names_of_their_keys(output: str, named: str) -> None:
    """In quotes whole or in part, elsewhere as a word; parts of paths and usual words stay."""
    keys = [
        KeyValue("/app/host", b"db.secret.example", 5),
        KeyValue("/app/server", b'{"addr": "s3cr3t.example", "weight": 5}', 5),
        KeyValue("/app/state", b"on", 5),
        KeyValue("/app/what", b"nginx", 5),
        KeyValue("/app/port", b"port.example:80", 5),
        KeyValue("/app/address", b"10.0.0.1:99999", 5),
        KeyValue("/app/odd", b"tok=en;1", 5),
        KeyValue("/app/lines", b"first\nsecondline", 5),
        KeyValue("/app/raw", b"\xff\xfe{", 5),
    ]
    assert without_values(output, keys) == named
