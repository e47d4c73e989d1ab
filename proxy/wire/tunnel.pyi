# Exchanges are made by clients (client.pyx) only.
