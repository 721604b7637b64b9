"""Checks in the context of nginx, and one destination for each key."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pyconfd.model.resources import Command, Confirm, Nginx, Resource

Write = Callable[[str, str], None]
Add = Callable[..., None]
Load = Callable[..., tuple[dict[str, Resource], list[str]]]


def test_a_check_in_nginx_brings_its_usual_company(add: Add, load: Load) -> None:
    """Values are judged as nginx reads them, a reload is confirmed, a second between two."""
    add("www", 'check = "nginx"\nreload_cmd = "nginx -s reload"\n')
    resources, faults = load()
    assert not faults
    www = resources["www"]
    assert www.nginx == Nginx(conf="/etc/nginx/nginx.conf", binary="nginx", prefix="")
    assert (www.format, www.service.min_reload_interval_s) == ("nginx", 1.0)
    assert www.service.confirm == Confirm(by="nginx")
    assert www.service.on_reload_failure == "keep"


def test_the_company_can_be_sent_away(add: Add, load: Load) -> None:
    """Each by its own key."""
    add(
        "www",
        'check = "nginx"\nnginx_conf = "/opt/n.conf"\nnginx_bin = "/opt/nginx"\n'
        'nginx_prefix = "/opt"\nreload_cmd = "r"\nformat = ""\nconfirm = false\n'
        'min_reload_interval = 0\non_reload_failure = "revert"\n',
    )
    www = load()[0]["www"]
    assert www.nginx == Nginx(conf="/opt/n.conf", binary="/opt/nginx", prefix="/opt")
    assert (www.format, www.service.confirm, www.service.min_reload_interval_s) == ("", None, 0.0)
    assert www.service.on_reload_failure == "revert"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('check = "apache"', "check 'apache' is not known (a command goes into check_cmd)"),
        ('check = "ngnix"', "check 'ngnix' is not known (did you mean nginx?)"),
        ("check = true", 'check is not text (write check = "...")'),
        ('nginx_conf = "/x"', 'nginx_conf is of use with check = "nginx" only'),
        ('nginx_bin = "nginx"', 'nginx_bin is of use with check = "nginx" only'),
        ('nginx_prefix = "/x"', 'nginx_prefix is of use with check = "nginx" only'),
        (
            'check = "nginx"\nnginx_prefix = "srv"',
            "nginx_prefix is not an absolute path: srv",
        ),
        (
            'check = "nginx"\nnginx_bin = "sbin/nginx"',
            "nginx_bin is not an absolute path: sbin/nginx (a name without / is found on PATH)",
        ),
        (
            'check = "nginx"\nnginx_conf = "x"',
            "nginx_conf is not an absolute path: x",
        ),
        (
            'on_reload_failure = "retry"',
            'on_reload_failure \'retry\' is not known (write "keep" or "revert")',
        ),
        ('each = "/a"', "dest holds no {name} (each name below `each` is put in its place)"),
    ],
)
def test_what_does_not_go_together_is_said(add: Add, load: Load, lines: str, said: str) -> None:
    """With its line."""
    add("www", lines)
    (fault,) = load()[1]
    place, _, what = fault.partition(": ")
    assert what == said
    assert place.startswith("conf.d/www.toml:")


@pytest.mark.parametrize(
    ("lines", "command"),
    [
        ("", "nginx -s reload"),
        ('nginx_conf = "/etc/nginx/nginx.conf"', "nginx -s reload"),
        ('nginx_conf = "/opt/n.conf"', "nginx -s reload -c /opt/n.conf"),
        (
            'nginx_bin = "/opt/my nginx"\nnginx_conf = "/a b.conf"\nnginx_prefix = "/it\'s"',
            """'/opt/my nginx' -s reload -c '/a b.conf' -p '/it'"'"'s'""",
        ),
    ],
)
def test_nginx_is_told_as_it_runs(add: Add, load: Load, lines: str, command: str) -> None:
    """When no reload_cmd is given; words are quoted for the shell. The timeout still counts."""
    add("www", f'check = "nginx"\nreload_cmd_timeout = 7\n{lines}\n')
    www = load()[0]["www"]
    assert www.reload == Command(command, 7.0)
    assert www.service.confirm


def test_an_empty_reload_cmd_says_none(add: Add, load: Load) -> None:
    """And then there is nothing to confirm, unless a person asks for it."""
    add("www", 'check = "nginx"\nreload_cmd = ""\n')
    www = load()[0]["www"]
    assert www.reload is None
    assert not www.service.confirm


def test_one_destination_for_each_key(write: Write, load: Load) -> None:
    """`each` is below the keys, and dest says where the name goes."""
    table = '[template]\nsrc = "a.j2"\nkeys = ["{}"]\ndest = "{}"\neach = "{}"\n'
    write("good", table.format("/nginx", "/x/{name}.conf", "nginx/"))
    write("outside", table.format("/nginx/a", "/y/{name}.conf", "/nginx"))
    write("unsaid", table.format("/nginx", "/z/{name}.conf", ""))
    write("twice", table.format("/", "/z/{name}/{name}.conf", "/nginx"))
    write("folder", table.format("/", "/y/{name}/site.conf", "/nginx"))
    write("same", table.format("/", "/x/../x/{name}.conf", "/other"))
    resources, faults = load()
    assert list(resources) == ["folder"]
    assert resources["folder"].each == "/nginx"
    assert resources["folder"].for_item("www").dest == "/y/www/site.conf"
    assert faults == [
        "conf.d/outside.toml:5: each is not below one of the keys: /nginx",
        "conf.d/same.toml:1: dest is the same file as that of conf.d/good.toml:1: /x/{name}.conf "
        "(neither is written)",
        "conf.d/twice.toml:4: dest holds {name} more than once (each name below `each` is put in "
        "its place)",
        'conf.d/unsaid.toml:4: dest holds {name} without each (write each = "/...")',
    ]


def test_the_reload_of_many_destinations_names_none(write: Write, load: Load) -> None:
    """It is told once for all of them, so there is no single `{{ dest }}`."""
    table = '[template]\nsrc = "a.j2"\nkeys = ["/a"]\ndest = "/x/{name}"\neach = "/a"\n'
    write("many", table + 'reload_cmd = "tell {{ dest }}"\n')
    resources, faults = load()
    assert resources == {}
    assert faults == [
        "conf.d/many.toml:6: reload_cmd names one file, and a resource with each has many (write a "
        "command that reloads all of them)"
    ]
