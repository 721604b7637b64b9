"""
The recipe keepalived-dual on real nodes: two addresses, each node master of one, told to each other
by unicast with a secret, in the protocol's second version with its whole seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.daemons.keepalived import end, why_not
from tests.support.daemons.vrrp_pair import WEB, Pair, pair_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration
ON_NODES = pytest.mark.skipif(bool(why_not()), reason=why_not() or "nodes can be had")

ONE, TWO = 191, 192
QUICK = {
    'pause = "10s"': 'pause = "500ms"',
    r"\"fall\": 2, \"rise\": 2": r"\"timeout\": 1, \"fall\": 1, \"rise\": 1",
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both nodes, each with its own address."""
    with pair_of("keepalived-dual", tmp_path_factory.mktemp("dual"), QUICK) as made:
        at_home(made)
        yield made


def at_home(pair: Pair) -> None:
    """Until each address is where it belongs."""
    pair.settled("lb1", ONE, "VI_1")
    pair.settled("lb2", TWO, "VI_2")


@ON_NODES
def test_one_node_carries_both_while_the_other_has_no_nginx(pair: Pair) -> None:
    """100 - 20 is less than 90; both go home afterwards."""
    end(pair.one.nginx)
    pair.settled("lb2", ONE, "VI_1")
    assert pair.owners(TWO) == ["lb2"]
    pair.one.nginx = pair.one.node.nginx()
    at_home(pair)


@ON_NODES
def test_one_node_carries_both_while_the_other_has_no_keepalived(pair: Pair) -> None:
    """The other way round."""
    end(pair.two.keepalived)
    pair.settled("lb1", TWO, "VI_2")
    assert pair.owners(ONE) == ["lb1"]
    assert pair.state("lb2", "VI_1")["state"] == pair.state("lb2", "VI_2")["state"] == "STOP"
    pair.two.keepalived = pair.two.node.keepalived()
    at_home(pair)


@ON_NODES
def test_both_as_master_of_one_address_is_refused(pair: Pair) -> None:
    """No flap, no file touched."""
    key = f"{WEB}/nodes/lb2"
    conf, good = pair.two.node.conf, pair.etcd.get(key) or b""
    before, given = conf.read_bytes(), json.loads(good)
    pair.etcd.put(key, json.dumps({**given, "priorities": {"VI_1": 100, "VI_2": 110}}))
    words = "the priority of VI_1 is also that of /vrrp/web/nodes/lb1"
    for machine in (pair.one, pair.two):
        machine.watch.wait_log(words)
    assert conf.read_bytes() == before
    assert (pair.owners(ONE), pair.owners(TWO)) == (["lb1"], ["lb2"])
    pair.etcd.put(key, good)
    wait_until(lambda: "status: ok" in pair.two.watch.log.split(words)[-1], what="all is well")
