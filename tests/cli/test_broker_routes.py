#!/usr/bin/env python3
"""One port for several services: NGINX sends on by the name that was dialled and by what is asked for (SNI, ALPN), and
whoever dials an address or says nothing is a client of the broker.

usage: test_broker_routes.py SEALMQ ROOT
"""
import json
import os
import socket
import ssl
import sys
import threading

from sealed_rig import TAP, Process, ok, run
from findings import of_files
from broker_rig import Deployment, needs


class Other:
    """Another service with TLS of its own: says who it is and hangs up."""

    def __init__(self, room, word):
        self.word, cert, key = word, os.path.join(room, word + '.crt'), os.path.join(room, word + '.key')
        run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj',
            '/CN=' + word, '-keyout', key, '-out', cert)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        self.context.set_alpn_protocols(['h2', 'http/1.1'])
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.at = '127.0.0.1:%d' % self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                plain, _ = self.listener.accept()
                with self.context.wrap_socket(plain, server_side=True) as link:
                    link.recv(64)  # what is not read when it closes takes the answer along
                    link.sendall(self.word.encode())
            except ssl.SSLError:
                pass
            except OSError:
                return


def reached(d, name=None, alpn=()):
    """Who answers: 'broker', or the word of another service."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(d.member('desk', 'member.crt'), d.member('desk', 'member.key'))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    try:
        with socket.create_connection(('127.0.0.1', d.port), 10) as plain:
            with context.wrap_socket(plain, server_hostname=name) as link:
                link.settimeout(10)
                link.sendall(b'\x10\x11\0\x04MQTT\x04\x02\0\x3c\0\x05probe')
                answer = link.recv(64)
    except OSError as e:
        return str(e)
    return 'broker' if answer == b'\x20\x02\0\0' else answer.decode('latin-1')


def main():
    needs('mosquitto', 'nginx', 'openssl')
    d = Deployment()
    try:
        named, web = Other(d.room, 'named'), Other(d.room, 'web')
        d.init('--sni', 'other.example=' + named.at, '--alpn-http', web.at)
        d.start()
        rows = [('no name at all', None, (), 'broker'), ('an address as the name', '127.0.0.1', (), 'broker'),
                ('the broker\'s name', 'localhost', (), 'broker'), ('a name that nobody knows', 'mqtt.example', (), 'broker'),
                ('the name of another service', 'other.example', (), 'named'), ('MQTT by ALPN', 'localhost', ['mqtt'], 'broker'),
                ('HTTP/2 by ALPN', 'localhost', ['h2', 'http/1.1'], 'web'), ('HTTP/1.1 alone', None, ['http/1.1'], 'web'),
                ('an ALPN that only looks like it', 'localhost', ['h2c'], 'broker'),
                ('a name before what is asked for', 'other.example', ['h2'], 'named')]
        for how, name, alpn, who in rows:
            found = reached(d, name, alpn)
            ok(found == who, '%s: %s' % (how, who), found)
        _, out, _ = run(sys.argv[1], 'broker', 'check', d.dir, '--json')
        ok(of_files(json.loads(out)['findings']) == [], 'check has nothing to complain about', out)
    finally:
        Process.stop_all()
        d.strike()
    return TAP.end()


sys.exit(main())
