"""
A program: the recipe apache-balancer with lbmethod heartbeat, in a network of its own.

    python -m tests.programs.drive_heartbeat FOLDER

Heartbeats are multicast and a member is told by its address, so each member is in a network
namespace, with a bridge between them and the balancer. Prints one JSON object: `refused` with the
reason where there are no namespaces, else who answered and how long the first answer took.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.support.daemons.apache import INCLUDES, PrivateApache, serving
from tests.support.daemons.etcd import free_ports
from tests.support.net import Net, enter_private_net
from tests.support.recipes import laid_out
from tests.support.waiting import wait_until

GROUP = "239.0.0.1:27999"
MODULES = ("slotmem_shm", "proxy", "proxy_http", "proxy_balancer", "heartmonitor")
BEATING = f"ExtendedStatus On\nHeartbeatAddress {GROUP}\n"


def main(folder: Path) -> dict[str, object]:
    if not enter_private_net():
        return {"refused": "network namespaces are not allowed here"}
    with Net(2) as net, contextlib.ExitStack() as stack:
        subprocess.run(["ip", "route", "add", "224.0.0.0/4", "dev", "br0"], check=True)
        nodes = {}
        for number, (place, inside) in enumerate(net.places, start=1):
            route = [*inside, *["ip", "route", "add", "224.0.0.0/4", "dev", "eth0"]]
            subprocess.run(route, check=True)
            name = f"node{number}"
            body = BEATING + serving(name)
            node = PrivateApache(
                folder / name, body, modules=["heartbeat"], place=place, inside=inside
            )
            nodes[name] = stack.enter_context(node.running())
        front = PrivateApache(folder / "front", INCLUDES, modules=[*MODULES, "lbmethod_heartbeat"])
        stack.enter_context(front.running())
        return observe(folder, front, nodes)


def observe(
    folder: Path, front: PrivateApache, nodes: dict[str, PrivateApache]
) -> dict[str, object]:
    """Render the recipe onto the balancer, and ask it."""
    confdir = laid_out("apache-balancer", folder, front.words(free_ports(1)[0]))
    settings = {"listen": front.address, "lbmethod": "heartbeat", "heartbeat": GROUP}
    keys = {
        f"/balancer/hb/members/{name}": json.dumps({"addr": node.address, "route": name})
        for name, node in nodes.items()
    }
    keys["/balancer/hb/settings"] = json.dumps({**settings, "server_name": "hb.test", "retry": 1})
    (folder / "keys.json").write_text(json.dumps(keys))
    done = confdir.once("--backend", "file", "--file", str(folder / "keys.json"))
    assert done.returncode == 0, done.stderr
    started = time.monotonic()

    def spread(count: int) -> Counter[str]:
        answers = [front.ask("/", "hb.test") for _ in range(count)]
        return Counter(each.body if each.status == 200 else str(each.status) for each in answers)

    first = spread(1)
    wait_until(lambda: set(spread(8)) == set(nodes), what="answers of both")
    took = time.monotonic() - started
    both = spread(40)
    nodes["node1"].stop()
    wait_until(lambda: set(spread(8)) == {"node2"}, what="answers of the other alone")
    return {"at_once": dict(first), "took_s": round(took, 1), "both": dict(both)}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
