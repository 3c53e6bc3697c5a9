"""Runs HAProxy with a configuration whose `fd@NAME` are sockets on ports of the kernel's choice.

peer_haproxy.py TEMPLATE CONFIG PORTS: writes the configuration to CONFIG and a line NAME=PORT for
each socket to PORTS, says `listening ADDR pid PID`, and becomes HAProxy. Connections wait in the
sockets' queues until it accepts them, so nobody has to wait for it to be ready.
"""

import os
import re
import socket
import sys

template, config, ports = sys.argv[1:]
sockets = {}


def listen(match):
    name = match.group(1)
    if name not in sockets:
        sockets[name] = socket.socket()
        sockets[name].bind(("127.0.0.1", 0))
        sockets[name].listen(128)
        sockets[name].set_inheritable(True)
    return f"fd@{sockets[name].fileno()}"


with open(template) as file:
    text = re.sub(r"fd@(\w+)", listen, file.read())
with open(config, "w") as file:
    file.write(text)
with open(ports, "w") as file:
    for name, one in sockets.items():
        file.write(f"{name}={one.getsockname()[1]}\n")
first = next(iter(sockets.values())).getsockname()
print(f"listening {first[0]}:{first[1]} pid {os.getpid()}", flush=True)
os.dup2(2, 1)
os.execvp("haproxy", ["haproxy", "-db", "-f", config])
