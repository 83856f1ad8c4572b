"""The live market over WebSocket: `feed` for everybody, `orders` for one organisation.

Both are plain ASGI applications: a socket asks neither Redis nor the threads of the database for a message, so it
lives on while either is away. One pump a process and kind reads for all its sockets.
"""
