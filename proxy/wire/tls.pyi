# Sessions are made by the connections of tls_client.pyx and tls_upstream.pyx only.
