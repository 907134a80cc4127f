"""An MCP server on stdio that misbehaves on request; standard library only, so it starts fast.

Run as a program: `python stdio_server.py [--exit-after-handshake] [--stubborn PIDFILE]`. The tool
that is called says what to do; an answer's text is JSON and says what the server saw.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Message = dict[str, Any]

write_lock = threading.Lock()
arrived = threading.Condition()
answers_to_us: dict[int, object] = {}
notices: list[Message] = []


def write(text: str) -> None:
    with write_lock:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def say(message: Message) -> None:
    write(json.dumps({"jsonrpc": "2.0", **message}))


def result(message: Message, seen: object) -> None:
    text = {"type": "text", "text": json.dumps(seen)}
    say({"id": message["id"], "result": {"resultType": "complete", "content": [text]}})


def argument(message: Message, name: str) -> int:
    found: int = message["params"]["arguments"][name]
    return found


def echo(message: Message) -> None:
    result(message, {"id": message["id"], **message["params"]})


def spelling(message: Message) -> None:
    odd = '{"content":[],"n":1.00e+2,"x":"\\u0041"}'
    write(f'{{"result":{odd},"jsonrpc":"2.0","id":{message["id"]}}}')


def progress(message: Message) -> None:
    token = message["params"]["_meta"]["progressToken"]
    for step in (1, 2):
        params = {"progressToken": token, "progress": step}
        say({"method": "notifications/progress", "params": params})
    result(message, {"token": token})


def ask(message: Message) -> None:
    """Ask the client under the very id of the request, and tell what it says."""
    say({"id": message["id"], "method": "sampling/createMessage", "params": {"messages": []}})
    with arrived:
        arrived.wait_for(lambda: message["id"] in answers_to_us)
        result(message, answers_to_us[message["id"]])


def cancel(message: Message) -> None:
    """Wait until the call is cancelled, and answer all the same."""
    with arrived:
        arrived.wait_for(lambda: message["id"] in cancelled())
    result(message, "late")


def cancelled() -> list[int]:
    return [
        notice["params"]["requestId"]
        for notice in notices
        if notice["method"] == "notifications/cancelled"
    ]


def nan(message: Message) -> None:
    write(f'{{"jsonrpc":"2.0","id":{message["id"]},"result":{{"n":NaN}}}}')


def garbage(message: Message) -> None:
    write("this is no JSON")
    say({"id": 999_999, "result": {}})
    say({"id": None, "error": {"code": 1, "message": "whatever"}})
    result(message, "after garbage")


def stderr(message: Message) -> None:
    sys.stderr.write(("noise " * 20 + "\n") * argument(message, "lines") + "last words\n")
    sys.stderr.flush()
    result(message, "quiet again")


def log(message: Message) -> None:
    say({"method": "notifications/message", "params": {"level": "info", "data": "secret"}})
    result(message, "logged")


def die(message: Message) -> None:
    del message
    sys.stderr.write("cannot go on\n")
    sys.stderr.flush()
    os._exit(3)


TOOLS: dict[str, Callable[[Message], None]] = {
    "ask": ask,
    "big": lambda message: result(message, "x" * argument(message, "size")),
    "cancel": cancel,
    "die": die,
    "echo": echo,
    "environment": lambda message: result(message, dict(os.environ)),
    "garbage": garbage,
    "log": log,
    "nan": nan,
    "pid": lambda message: result(message, os.getpid()),
    "progress": progress,
    "seen": lambda message: result(message, notices),
    "silent": lambda _: None,
    "spelling": spelling,
    "stderr": stderr,
}


def initialize(message: Message) -> None:
    answer = {
        "protocolVersion": message["params"]["protocolVersion"],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "scripted", "version": "1"},
    }
    say({"id": message["id"], "result": answer})


def initialized(message: Message) -> None:
    del message
    if "--exit-after-handshake" in sys.argv:
        os._exit(0)
    say({"method": "notifications/tools/list_changed"})


def listen(message: Message) -> None:
    meta = {"io.modelcontextprotocol/subscriptionId": message["id"]}
    method = "notifications/subscriptions/acknowledged"
    say({"method": method, "params": {"_meta": meta, "notifications": {}}})


def list_tools(message: Message) -> None:
    tools = [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]
    say({"id": message["id"], "result": {"resultType": "complete", "tools": tools}})


def call(message: Message) -> None:
    tool = TOOLS[message["params"]["name"]]
    threading.Thread(target=tool, args=(message,), daemon=True).start()


METHODS: dict[str, Callable[[Message], None]] = {
    "initialize": initialize,
    "notifications/initialized": initialized,
    "subscriptions/listen": listen,
    "tools/call": call,
    "tools/list": list_tools,
}


def read(line: str) -> None:
    message: Message = json.loads(line)
    with arrived:
        if "method" not in message:
            answers_to_us[message["id"]] = message.get("result", message.get("error"))
        elif "id" not in message:
            notices.append(message)
        arrived.notify_all()
    method = METHODS.get(message.get("method", ""))
    if method is not None:
        method(message)
    elif "id" in message and "method" in message:
        say({"id": message["id"], "error": {"code": -32601, "message": "unknown method"}})


def be_stubborn(pid_file: Path) -> None:
    """Ignore SIGTERM and the end of stdin, with a child of our own that does the same."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()"
    grandchild = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL)
    pid_file.write_text(f"{os.getpid()} {grandchild.pid}")


def main() -> None:
    is_stubborn = "--stubborn" in sys.argv
    if is_stubborn:
        be_stubborn(Path(sys.argv[sys.argv.index("--stubborn") + 1]))
    for line in sys.stdin:
        read(line)
    while is_stubborn:
        signal.pause()


if __name__ == "__main__":
    main()
