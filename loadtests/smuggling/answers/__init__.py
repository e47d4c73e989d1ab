"""The other direction: answers that hide in answers, from a raw upstream through Serinus to real clients.

Method:

1. An upstream of our own sends the bytes of a technique as its answer, and ordinary answers to all other requests. Each
   answer begins with the identifier of the request that it is to.
2. A client asks for a technique, then for something ordinary on the same connection if it keeps it, then a next client
   asks on one of its own. The connection to the upstream is used again where Serinus takes it for good.
3. A cell is SMUGGLED when a client got a whole answer that is not exactly its own: to the ordinary requests the
   ordinary answer, to the technique what the rules make of its bytes, or none where they are no answer by the rules.

An error that the client sees is never a fault: 502, or a connection that ends before the answer does.
"""
