"""The tool server: nginx with a fixed answer to `tools/call`, the catalog server behind it."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench import calls, children

COLLECTOR = "/v1/traces"
"""Where it takes spans over OTLP, and throws them away."""
_READY_WITHIN_S = 10.0


def free_port() -> int:
    """A loopback port that nobody held a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def require_programs() -> None:
    """Install wrk and nginx where that is possible without asking; else say what to install."""
    missing = [name for name in ("wrk", "nginx", "taskset") if shutil.which(name) is None]
    if not missing:
        return
    packages = {"wrk": "wrk", "nginx": "nginx-light", "taskset": "util-linux"}
    wanted = [packages[name] for name in missing]
    install = ["apt-get", "install", "-y", "--no-install-recommends", *wanted]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SystemExit(f"bench: {', '.join(missing)} not found – {' '.join(install)}")
    print(f"bench: installing {' '.join(wanted)} by apt-get", file=sys.stderr)
    for argv in (["apt-get", "update"], install):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"bench: `{' '.join(argv)}` failed:\n{done.stderr}")


@contextlib.contextmanager
def serving(core: int, folder: Path) -> Iterator[int]:
    """Answer the port while it serves `/mcp`."""
    port, catalog_port = free_port(), free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(_configuration(port, catalog_port, folder), encoding="ascii")
    catalog = [sys.executable, "-m", "bench.catalog", str(catalog_port)]
    nginx: list[str | Path] = [_nginx(), "-c", configuration, "-p", folder, "-e", "stderr"]
    with (
        children.running("catalog", catalog, core, folder),
        children.running("nginx", nginx, core, folder) as child,
    ):
        deadline = time.monotonic() + _READY_WITHIN_S
        while calls.MARKER not in (calls.ask(port, "/mcp", calls.Names.KNOWN) or ""):
            if not child.is_alive or time.monotonic() > deadline:
                raise children.died(child)
            time.sleep(0.02)
        yield port


def _nginx() -> str:
    return shutil.which("nginx") or "/usr/sbin/nginx"


def _configuration(port: int, catalog_port: int, folder: Path) -> str:
    result = {
        "resultType": "complete",
        "content": [{"type": "text", "text": f"{calls.MARKER}: re_4h2k9 over EUR"}],
        "isError": False,
    }
    answer = json.dumps({"jsonrpc": "2.0", "id": calls.CALL_ID, "result": result})
    temporary = "\n".join(
        f"  {kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  default_type application/json;
{temporary}
  server {{
    listen 127.0.0.1:{port};
    location = /mcp {{
      if ($http_mcp_method = "tools/call") {{ return 200 '{answer}'; }}
      proxy_pass http://127.0.0.1:{catalog_port};
    }}
    location = {COLLECTOR} {{ return 200; }}
  }}
}}
"""
