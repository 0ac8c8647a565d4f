"""Ports for what a test or a benchmark starts on loopback."""
import random
import socket

# Below what connections are made from (ip_local_port_range begins at 32768): one of those may not take it meanwhile.
LOW, HIGH = 12000, 32000


def free_port():
    """One that nobody listens at now."""
    dice = random.SystemRandom()
    for _ in range(200):
        port = dice.randrange(LOW, HIGH)
        with socket.socket() as s:
            try:
                s.bind(('127.0.0.1', port))
                return port
            except OSError:
                continue
    raise RuntimeError('no port between %d and %d is free' % (LOW, HIGH))
