"""HTTP/1.1 over TCP and TLS: bytes on sockets. Knows nothing of registries."""
