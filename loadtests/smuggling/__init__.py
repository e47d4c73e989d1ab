"""The smuggling matrix: every known way to hide a request in another one, through Serinus, to real servers.

It lies beside the benchmark and not in tests/, because it is a command of its own that starts other people's programs
and prints a table that goes into the documentation; tests/loadtests/test_smuggling.py runs it as part of the suite.

Method:

1. One Serinus with two workers stands before all servers; the first part of the path says which one is meant. Each
   server writes down every request that it sees, and everything that it refuses as no request.
2. A technique is bytes. They go over a connection of their own, an ordinary request follows on it, and then next
   clients come on theirs. Techniques are sent one after the other, so that idle connections are used again.
3. Serinus gives each request that it sees an identifier (X-Request-Id), and writes it into its access log. So what a
   server saw and we did not is known for certain: its identifier is in no line of our log.
4. A cell is SMUGGLED when a server saw a request that we did not see, or saw it with another method, target, host, body
   or client address, or refused bytes that we do not know of; when the hidden request arrived although its technique
   says that it is no request; or when anybody got another one's answer.

Where to look: `techniques` says what is sent, `upstreams` to whom, `servers` what those run, `client` how, `judge` what
is a fault, `matrix` the whole run, `show` how it is shown. `answers` is the other direction.
"""
