"""Serves one connection at a time: a greeting in clear, STARTTLS, an answer, and then TLS.

Usage: peer_starttls.py CERT KEY HOW TIMES. HOW is `once` or `injecting`: then something in clear
lies behind the answer, where nothing may be. Prints `listening ADDR pid PID`, and on
standard error how each connection ended.
"""

import os
import socket
import ssl
import sys

cert, key, how, times = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
listener = socket.create_server(("127.0.0.1", 0))
print("listening 127.0.0.1:%d pid %d" % (listener.getsockname()[1], os.getpid()), flush=True)

for _ in range(times):
    plain, _ = listener.accept()
    plain.settimeout(20)
    try:
        plain.sendall(b"220 ready\r\n")
        with plain.makefile("rb", buffering=0) as lines:
            assert lines.readline() == b"STARTTLS\r\n"
        answer = b"220 go ahead\r\n"
        plain.sendall(answer + b"250 injected\r\n" if how == "injecting" else answer)
        with context.wrap_socket(plain, server_side=True) as tls:
            line = tls.recv(100)
            tls.sendall(b"you said " + line)
            assert tls.recv(100) == b"", "more than was to come"
            print(tls.version(), tls.session_reused, line, file=sys.stderr)
    except OSError as error:
        print("no", error, file=sys.stderr)
