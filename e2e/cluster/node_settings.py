"""What the node's components are told; docs/developer/test-cluster.md says why, setting by setting.

Pure: values in, text out.
"""

import json
from pathlib import Path

import yaml

from e2e.cluster.rooms import Plan

PAUSE = "localhost/pause:3"
CNI_PROGRAMS = "/usr/lib/cni"
READY_PORT = 8181


def api_server_flags(home: Path) -> tuple[str, ...]:
    """For logs and exec the API server asks the kubelet, by its address: nobody resolves names."""
    return (
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={home / 'keys' / 'ca.crt'}",
        f"--kubelet-client-certificate={home / 'keys' / 'admin.crt'}",
        f"--kubelet-client-key={home / 'keys' / 'admin.key'}",
    )


def containerd(home: Path, *, snapshotter: str) -> str:
    """Containerd's config.toml, version 2."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "{home}/containerd"
state = "{home}/containerd-state"
[grpc]
  address = "{home}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{home}/opt"
[{cri}]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [{cri}.containerd]
    snapshotter = "{snapshotter}"
    [{cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [{cri}.containerd.runtimes.runc.options]
        SystemdCgroup = false
  [{cri}.cni]
    bin_dir = "{CNI_PROGRAMS}"
    conf_dir = "{home}/cni"
"""


def network(home: Path, plan: Plan) -> str:
    """The pods' network as a CNI list: each pod on a link of its own, everything routed."""
    ranges = {
        "type": "host-local",
        "dataDir": f"{home}/addresses",
        "ranges": [[{"subnet": plan.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [
        {"type": "ptp", "ipMasq": False, "ipam": ranges},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return json.dumps({"cniVersion": "0.4.0", "name": "mesh7", "plugins": plugins})


def kubelet(home: Path, plan: Plan, group: str) -> str:
    """The kubelet's configuration."""
    return yaml.safe_dump(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": plan.node,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{home}/keys/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{home}/keys/kubelet.crt",
            "tlsPrivateKeyFile": f"{home}/keys/kubelet.key",
            "containerRuntimeEndpoint": f"unix://{home}/containerd.sock",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{group}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "evictionHard": dict.fromkeys(("nodefs.available", "imagefs.available"), "1%"),
            "imageGCHighThresholdPercent": 100,
            "podLogsDir": f"{home}/pods",
            "volumePluginDir": f"{home}/volume-plugins",
            "resolvConf": f"{home}/resolv.conf",
            # Mounted Secrets and ConfigMaps are looked at so often; a minute is the default.
            "syncFrequency": "15s",
            "clusterDomain": "cluster.local",
            "clusterDNS": [plan.dns],
        }
    )


def proxy(home: Path, plan: Plan) -> str:
    """kube-proxy's configuration; connection tracking's own sizes belong to the machine."""
    return yaml.safe_dump(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": f"{home}/proxy.yaml"},
            "clusterCIDR": plan.pods,
            "mode": "iptables",
            "oomScoreAdj": 0,
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
        }
    )


def names(home: Path, plan: Plan) -> str:
    """CoreDNS' configuration: the cluster's names; all others do not exist, and that at once."""
    return f"""\
cluster.local {{
    ready {plan.dns}:{READY_PORT}
    errors
    kubernetes cluster.local {{
        kubeconfig {home}/dns.yaml
        ttl 0
    }}
}}
. {{
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
