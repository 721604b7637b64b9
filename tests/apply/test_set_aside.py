"""When a live file that nginx refuses may be set aside."""

from __future__ import annotations

from pyconfd.apply.set_aside import SetAside
from pyconfd.errors import LiveRefused
from pyconfd.model.resources import Nginx, Origin, Resource

NGINX = Nginx("/nginx.conf", "nginx")


def site(name: str) -> Resource:
    return Resource(name=name, origin=Origin("s.toml"), src="s.j2", dest=f"/none/{name}")


A, B, C = map(site, "abc")


def refused(*ones: Resource) -> LiveRefused:
    error = LiveRefused("refused already")
    error.blamed = tuple(one.dest for one in ones)
    return error


def test_a_cause_may_pass() -> None:
    """So long nothing is due; and from the beginning again once nginx has taken what is live."""
    aside = SetAside(5.0)
    assert aside.due(NGINX, refused(A), [A, B], 10.0) == ()
    assert aside.due(NGINX, refused(A), [A, B], 14.9) == ()
    assert aside.due(NGINX, refused(A), [A, B], 15.0) == (A,)
    aside.accepted(NGINX)
    assert aside.due(NGINX, refused(A), [A, B], 30.0) == ()


def test_nginx_names_one_cause_at_a_time() -> None:
    """The second is found when the first is left out, in each pass again: both come to an end."""
    aside = SetAside(5.0)
    aside.due(NGINX, refused(A), [A, B, C], 10.0)
    assert aside.due(NGINX, refused(A), [A, B, C], 16.0) == (A,)
    assert aside.due(NGINX, refused(B), [B, C], 16.0) == ()
    assert aside.due(NGINX, refused(A), [A, B, C], 22.0) == (A,)
    assert aside.due(NGINX, refused(B), [B, C], 22.0) == (B,)


def test_a_file_that_is_not_ours_stays() -> None:
    """Nor is another taken away beside it, which would change nothing."""
    aside = SetAside()
    assert aside.due(NGINX, refused(A, C), [A, B], 10.0) == ()
    assert aside.due(NGINX, refused(), [A, B], 10.0) == ()
    assert aside.due(NGINX, refused(A, B), [A, B], 10.0) == (A, B)
