"""Which keys made a version, also of a service whose settings wait for their turn."""

from __future__ import annotations

from dataclasses import replace

from pyconfd.model.reads import Reads
from pyconfd.status.versions import RecentChanges
from tests.support.steps import a_resource

WEB = a_resource("/etc/web.conf")
READS = Reads(trees=frozenset(("/web",)))


def test_a_gated_key_that_is_not_in_use_has_made_no_version() -> None:
    """It is named when its service uses it, and for that service alone."""
    recent = RecentChanges()
    gated = ["/web/settings"]
    recent.note(5, ["/web/settings/a", "/web/members/b"])
    assert recent.made(WEB, 5, READS, gated=gated) == ["/web/members/b"]
    other = replace(WEB, name="other")
    assert recent.made(other, 5, READS) == ["/web/settings/a", "/web/members/b"]
    recent.note(6, ["/web/settings/a"], WEB.service_name)
    recent.note(6, ["/web/settings/c"], "another service")
    assert recent.made(WEB, 6, READS, gated=gated) == ["/web/settings/a"]
    assert recent.made(other, 6, READS) == []
