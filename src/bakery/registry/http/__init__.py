"""HTTP/1.1 over sockets: URLs, addresses, proxies, TLS, connections, requests. Knows no registry and no credentials.

`Transport` sends one request and returns its response; `fetch` reads a document in one call. Nothing here retries.
Sources: RFC 9110, 9112; address policy: registry.md 1.5 d and 7.
"""
