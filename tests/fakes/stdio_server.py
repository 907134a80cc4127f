"""An MCP server on stdio that misbehaves on request; standard library only, so it starts fast.

Run as a program: `python stdio_server.py [--exit-after-handshake] [--stubborn PIDFILE]`. The tool
that is called says what to do. Every answer's text is JSON: what the server saw.
"""

import json
import os
import signal
import subprocess
import sys
import threading

write_lock = threading.Lock()
answers_to_us = {}
arrived = threading.Condition()
seen_notifications = []


def write(text):
    with write_lock:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def say(message):
    write(json.dumps({"jsonrpc": "2.0", **message}))


def result(message, seen):
    text = {"type": "text", "text": json.dumps(seen)}
    say({"id": message["id"], "result": {"resultType": "complete", "content": [text]}})


def progress(message):
    token = message["params"]["_meta"]["progressToken"]
    for step in (1, 2):
        params = {"progressToken": token, "progress": step}
        say({"method": "notifications/progress", "params": params})
    result(message, {"token": token})


def ask(message):
    """Ask the client under the very id of the request, and tell what it says."""
    say({"id": message["id"], "method": "sampling/createMessage", "params": {"messages": []}})
    with arrived:
        arrived.wait_for(lambda: message["id"] in answers_to_us)
        result(message, answers_to_us[message["id"]])


def wait_for_cancel(message):
    with arrived:
        arrived.wait_for(lambda: message["id"] in seen_cancels())
    result(message, "late")


def seen_cancels():
    return [
        each["params"]["requestId"]
        for each in seen_notifications
        if each["method"] == "notifications/cancelled"
    ]


def call(message):
    arguments = message["params"].get("arguments", {})
    match message["params"]["name"]:
        case "echo":
            result(message, {"id": message["id"], **message["params"]})
        case "spelling":
            write(
                '{"result":{"content":[],"n":1.00e+2,"x":"\\u0041"},"jsonrpc":"2.0","id":%d}'
                % message["id"]
            )
        case "progress":
            progress(message)
        case "ask":
            ask(message)
        case "silent":
            pass
        case "cancel":
            wait_for_cancel(message)
        case "seen":
            result(message, seen_notifications)
        case "big":
            result(message, "x" * arguments["size"])
        case "nan":
            write('{"jsonrpc":"2.0","id":%d,"result":{"n":NaN}}' % message["id"])
        case "garbage":
            write("this is no JSON")
            say({"id": 999_999, "result": {}})
            say({"id": None, "error": {"code": 1, "message": "whatever"}})
            result(message, "after garbage")
        case "stderr":
            sys.stderr.write(("noise " * 20 + "\n") * arguments["lines"] + "last words\n")
            sys.stderr.flush()
            result(message, "quiet again")
        case "environment":
            result(message, dict(os.environ))
        case "log":
            say({"method": "notifications/message", "params": {"level": "info", "data": "secret"}})
            result(message, "logged")
        case "pid":
            result(message, os.getpid())
        case "die":
            sys.stderr.write("cannot go on\n")
            sys.stderr.flush()
            os._exit(3)
        case name:
            say({"id": message["id"], "error": {"code": -32602, "message": f"unknown {name}"}})


def serve(message):
    match message.get("method"):
        case "initialize":
            info = {"name": "scripted", "version": "1"}
            version = message["params"]["protocolVersion"]
            answer = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
            say({"id": message["id"], "result": answer})
        case "notifications/initialized":
            if "--exit-after-handshake" in sys.argv:
                os._exit(0)
            say({"method": "notifications/tools/list_changed"})
        case "subscriptions/listen":
            meta = {"io.modelcontextprotocol/subscriptionId": message["id"]}
            method = "notifications/subscriptions/acknowledged"
            say({"method": method, "params": {"_meta": meta, "notifications": {}}})
        case "tools/call":
            threading.Thread(target=call, args=(message,), daemon=True).start()
        case _ if "id" in message:
            say({"id": message["id"], "error": {"code": -32601, "message": "unknown method"}})


def read(line):
    message = json.loads(line)
    if "method" not in message:
        with arrived:
            answers_to_us[message["id"]] = message.get("result", message.get("error"))
            arrived.notify_all()
        return
    if "id" not in message:
        with arrived:
            seen_notifications.append(message)
            arrived.notify_all()
    serve(message)


def be_stubborn(pid_file):
    """Ignore SIGTERM and the end of stdin, with a child of our own that does the same."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()"
    grandchild = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL)
    with open(pid_file, "w") as file:
        file.write(f"{os.getpid()} {grandchild.pid}")


def main():
    stubborn = "--stubborn" in sys.argv
    if stubborn:
        be_stubborn(sys.argv[sys.argv.index("--stubborn") + 1])
    for line in sys.stdin:
        read(line)
    while stubborn:
        signal.pause()


if __name__ == "__main__":
    main()
