"""Rights and logins that change while a watch is running: told with the right names, survived."""

from __future__ import annotations

import pytest

from pyconfd.backends.etcd.protobuf import message
from pyconfd.model.keys import Changed, Lost
from tests.backends.etcd.test_faults import following, options_for
from tests.support.daemons.etcd import PrivateEtcd
from tests.support.source import Inbox
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


def last_cause(inbox: Inbox) -> str:
    return str(inbox.of(Lost)[-1].cause)  # type: ignore[union-attr]


def revoke(etcd: PrivateEtcd, prefix: str) -> None:
    """Take from bob what starts with the prefix."""
    raw = prefix.encode()
    request = message("AuthRoleRevokePermissionRequest")(
        role="bob", key=raw, range_end=raw[:-1] + bytes([raw[-1] + 1])
    )
    etcd.call("Auth/RoleRevokePermission", request)


def grant(etcd: PrivateEtcd, prefix: str) -> None:
    """Give it back."""
    raw = prefix.encode()
    permission = message("authpb.Permission")(
        permType=2, key=raw, range_end=raw[:-1] + bytes([raw[-1] + 1])
    )
    request = message("AuthRoleGrantPermissionRequest")(name="bob", perm=permission)
    etcd.call("Auth/RoleGrantPermission", request)


def test_authentication_that_is_switched_on_is_told_to_who_gave_no_user(
    each_etcd: PrivateEtcd,
) -> None:
    """The stream lives on, so that nothing but the probe can tell."""
    each_etcd.put("/app/a", "1")
    with following(options_for(each_etcd, probe_interval_s=0.3)) as (inbox, _):
        each_etcd.enable_auth()
        inbox.wait(lambda box: box.lost_now())
        assert "no user was given" in last_cause(inbox)
        each_etcd.put("/app/a", "2")
        inbox.wait_mirror({"/app/a": b"2"})
        each_etcd.disable_auth()
        inbox.wait(lambda box: not box.lost_now())


@pytest.mark.parametrize("cut", [False, True], ids=["stream-lives", "stream-cut"])
def test_a_right_taken_from_one_of_several_prefixes_is_told_by_its_name(
    each_etcd: PrivateEtcd, cut: bool
) -> None:
    """User and prefix, not those that may be read; and what was missed comes with the right."""
    each_etcd.put("/zoo/a", "1")
    each_etcd.put("/app/a", "1")
    each_etcd.add_user("bob", "pw", prefixes=["/app", "/zoo"])
    each_etcd.enable_auth()
    options = options_for(each_etcd, username="bob", password="pw", probe_interval_s=0.3)
    with following(options, ["/app", "/zoo"]) as (inbox, watch):
        each_etcd.put("/zoo/a", "2")
        inbox.wait_mirror({"/app/a": b"1", "/zoo/a": b"2"})
        revoke(each_etcd, "/zoo")
        if cut:
            channel = watch._session.channel  # type: ignore[attr-defined]
            channel.drop(channel.link())
        inbox.wait(lambda box: box.lost_now())
        assert "user bob has no permission on /zoo;" in last_cause(inbox)
        assert "--prefix /zoo)" in last_cause(inbox)
        each_etcd.put("/zoo/a", "3")
        grant(each_etcd, "/zoo")
        inbox.wait_mirror({"/app/a": b"1", "/zoo/a": b"3"})


def test_rights_that_become_narrower_are_no_outage(etcd: PrivateEtcd) -> None:
    """The last change seen was of another key, which may not be read any more; all of ours may."""
    etcd.put("/app/a", "1")
    etcd.put("/zoo/a", "1")
    etcd.add_user("bob", "pw", prefixes=["/", "/app", "/zoo"])
    etcd.enable_auth()
    options = options_for(etcd, username="bob", password="pw", probe_interval_s=0.3)
    with following(options, ["/app", "/zoo"]) as (inbox, watch):
        session = watch._session  # type: ignore[attr-defined]
        etcd.put("/zoo/a", "2")
        inbox.wait(lambda box: box.of(Changed))
        etcd.put("/stranger", "1")
        wait_until(lambda: session.history.last_event.key == b"/stranger")
        revoke(etcd, "/")
        session.channel.drop(session.channel.link())
        etcd.put("/app/a", "2")
        inbox.wait_mirror({"/app/a": b"2", "/zoo/a": b"2"})
        assert not inbox.of(Lost)
