"""Echoes 4 MiB through a TLS server and back, checks every byte, and ends with close_notify.

Usage: peer_ssl.py HOST PORT TLSv1_2|TLSv1_3. Says "whole" when every byte came back and the server
answered close_notify with its own.
"""

import select
import socket
import ssl
import sys

host, port, version = sys.argv[1], int(sys.argv[2]), getattr(ssl.TLSVersion, sys.argv[3])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
# The server's certificate is made at its start; nobody else is on this machine's loopback.
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.minimum_version = context.maximum_version = version

message = bytes(range(256)) * (4 * 1024 * 1024 // 256)
with socket.create_connection((host, port), timeout=20) as plain:
    with context.wrap_socket(plain, server_hostname="localhost") as tls:
        assert tls.version() == sys.argv[3].replace("_", "."), tls.version()
        # One thread: OpenSSL's connections are not for two at a time.
        tls.setblocking(False)
        sent, received = 0, bytearray()
        while len(received) < len(message):
            moved = False
            if sent < len(message):
                try:
                    sent += tls.send(message[sent : sent + 65536])
                    moved = True
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
            try:
                piece = tls.recv(65536)
                assert piece, f"ended after {len(received)} bytes"
                received += piece
                moved = True
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            if not moved:
                ready = select.select([tls], [tls] if sent < len(message) else [], [], 20)
                assert ready[0] or ready[1], f"silent after {len(received)} bytes"
        assert received == message, "bytes differ"
        tls.settimeout(20)
        tls.unwrap()
print("whole")
