"""--container-network=pod against a real containerd with CNI plugins: an address for each pod, and nothing left of it."""

import json
import os
import re
import subprocess
import unittest

from agent import Agent, eventually
from containers import ContainerCase, container, pod
from cri import CNI_PLUGINS, missing_containerd

NETWORK = f"te-{os.getpid()}"
SUBNET = "10.231.77"
AT_ONCE = {"terminationGracePeriodSeconds": 0}


def networks(folder):
    """Two ends of a pair of interfaces for each pod; addresses are noted below the test's folder."""
    ipam = {"type": "host-local", "dataDir": os.path.join(folder, "addresses"), "ranges": [[{"subnet": f"{SUBNET}.0/24"}]]}
    return {"10-test.conflist": json.dumps({"cniVersion": "0.4.0", "name": NETWORK,
                                            "plugins": [{"type": "ptp", "ipMasq": False, "ipam": ipam}]})}


class PodNetworkTest(ContainerCase):
    serial = True  # it looks at the interfaces and namespaces of the whole machine
    networks = staticmethod(networks)

    @classmethod
    def missing(cls):
        if why := missing_containerd():
            return why
        needed = [name for name in ("loopback", "ptp", "host-local") if not os.access(f"{CNI_PLUGINS}/{name}", os.X_OK)]
        if needed:
            return f"NO CNI PLUGINS {', '.join(needed)} in {CNI_PLUGINS} (containernetworking-plugins)"
        if subprocess.run(["unshare", "--net", "true"], check=False, stderr=subprocess.DEVNULL).returncode:
            return "NO NETWORK NAMESPACES CAN BE MADE HERE"
        return None

    def agent(self, *flags, **kwargs):
        agent = Agent("--enable-container-mode", f"--cri-socket={self.containerd.socket}", *flags, **kwargs)
        self.addCleanup(agent.close)
        return agent

    def addresses(self):
        folder = os.path.join(self.containerd.dir, "addresses", NETWORK)
        return sorted(name for name in os.listdir(folder) if name.startswith(SUBNET)) if os.path.isdir(folder) else []

    @staticmethod
    def interfaces():
        with open("/proc/net/dev", encoding="utf-8") as file:
            return sorted(line.split(":")[0].strip() for line in file if line.strip().startswith("veth"))

    @staticmethod
    def namespaces():
        return sorted(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else []

    @staticmethod
    def results():
        """What libcni keeps of an ADD until its DEL."""
        folder = "/var/lib/cni/results"
        return [name for name in os.listdir(folder) if NETWORK in name] if os.path.isdir(folder) else []

    def state(self):
        return {"addresses": self.addresses(), "interfaces": self.interfaces(), "namespaces": self.namespaces(),
                "results": self.results()}

    def test_an_address_for_each_pod_and_nothing_left(self):
        agent = self.agent()
        before = self.state()
        look = "busybox ip -4 addr show dev eth0; hostname; ls /sys/class/net; sleep 1000"
        for name in ("a", "b"):
            agent.create(container(name, look, spec=AT_ONCE))
        found = {}
        for name in ("a", "b"):
            text = eventually(lambda n=name: "lo\n" in (t := agent.get(f"/tasks/{n}/logs").text) and t, 30, "its interfaces")
            found[name] = re.search(rf"inet ({SUBNET}\.\d+)/", text)[1]
            self.assertIn(f"\n{name}\n", text)  # a UTS namespace of its own
        self.assertEqual(sorted(found.values()), self.addresses())
        self.assertEqual(len(set(found.values())), 2)
        self.assertEqual(len(self.namespaces()), len(before["namespaces"]) + 2)
        self.assertEqual(len(self.results()), 2)
        for name in ("a", "b"):
            self.delete(agent, name)
            self.assert_nothing_left(agent, name)
        self.assertEqual(self.state(), before)

    def test_one_that_ends_and_one_that_is_killed_with_its_agent(self):
        agent = self.agent()
        before = self.state()
        self.assertEqual(self.run_task(agent, container("ends", "exit 3"))["exitCode"], 3)
        # What a task has in the runtime goes with its end, not with its deletion.
        eventually(lambda: self.state() == before, 20, f"nothing left: {self.state()}, before {before}")
        agent.create(container("killed", "sleep 1000", spec=AT_ONCE))
        agent.wait_state("killed", "running", 30)
        agent.kill9()
        self.assertNotEqual(self.state(), before)
        agent.start()
        self.delete(agent, "killed")
        self.assertEqual(self.state(), before)

    def test_containers_of_a_pod_share_it_and_hostnetwork_has_none(self):
        agent = self.agent()
        before = self.state()
        share = "busybox nc -l -p 7777 -e echo shared"
        agent.create(pod("web", {"one": share, "two": "until busybox nc 127.0.0.1 7777; do sleep 0.05; done"}))
        self.assertEqual(self.pod_ended(agent, "web")["phase"], "Succeeded")
        self.assertEqual(self.logs(agent, "web", "?container=two&stream=stdout"), "shared\n")
        agent.create(pod("host", {"one": "ls /sys/class/net"}, hostNetwork=True))
        self.assertEqual(self.pod_ended(agent, "host")["phase"], "Succeeded")
        self.assertEqual(sorted(self.logs(agent, "host", "?container=one").split()), sorted(os.listdir("/sys/class/net")))
        for name in ("web", "host"):
            self.delete(agent, name)
            self.assert_nothing_left(agent, name)
        self.assertEqual(self.state(), before)


if __name__ == "__main__":
    unittest.main()
