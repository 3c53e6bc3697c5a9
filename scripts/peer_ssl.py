"""Echoes 4 MiB through a TLS server and back, checks every byte, and ends with close_notify.

Usage: peer_ssl.py HOST PORT TLSv1_2|TLSv1_3. Exit 0 when every byte came back and the server
answered close_notify with its own.
"""

import socket
import ssl
import sys
import threading

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
        writer = threading.Thread(target=tls.sendall, args=(message,))
        writer.start()
        received = bytearray()
        while len(received) < len(message):
            piece = tls.recv(65536)
            assert piece, f"ended after {len(received)} bytes"
            received += piece
        writer.join()
        assert received == message, "bytes differ"
        tls.unwrap()
