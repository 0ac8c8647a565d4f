#!/usr/bin/env python3
"""What SealMQ is compared with: the same job as a Python programmer does it by hand, paho and `cryptography`.

usage: python_peer.py seal COUNT SIZE          JSON: ns a message for sealing and for opening
       python_peer.py sub PORT QOS COUNT       "ready", then the time of the last of so many messages, opened
       python_peer.py pub PORT QOS COUNT SIZE  seals and publishes; the time of the first one

AES-128-GCM with a random nonce in front, the topic as additional data, one key that both know. No key management, no
replay protection, no word of who sent it: less than SealMQ does. Times are of the clock that all processes share.
"""
import json
import os
import sys
import time

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOPIC = 'bench/fridge-07/temperature'
KEY = AESGCM(bytes(range(16)))


def seal(plain):
    nonce = os.urandom(12)
    return nonce + KEY.encrypt(nonce, plain, TOPIC.encode())


def unseal(message):
    return KEY.decrypt(message[:12], message[12:], TOPIC.encode())


def time_sealing(count, size):
    plain = os.urandom(size)
    start = time.perf_counter_ns()
    messages = [seal(plain) for _ in range(count)]
    sealed = time.perf_counter_ns()
    good = all([unseal(m) == plain for m in messages])
    opened = time.perf_counter_ns()
    if not good:
        sys.exit('opened wrongly')
    print(json.dumps({'seal_ns': (sealed - start) / count, 'open_ns': (opened - sealed) / count}))


def client(port):
    import paho.mqtt.client as mqtt
    c = mqtt.Client()
    c.max_inflight_messages_set(1000)
    c.max_queued_messages_set(0)
    c.connect('127.0.0.1', port)
    return c


def subscribe(port, qos, count):
    left = [count]

    def take(c, _self, message):
        unseal(message.payload)
        left[0] -= 1
        if left[0] == 0:
            print(time.monotonic(), flush=True)
            c.disconnect()

    c = client(port)
    c.on_message = take
    c.on_subscribe = lambda *_: print('ready', flush=True)
    c.subscribe(TOPIC, qos)
    c.loop_forever()


def publish(port, qos, count, size):
    plain = os.urandom(size)
    c = client(port)
    c.loop_start()
    print(time.monotonic(), flush=True)
    for _ in range(count):
        last = c.publish(TOPIC, seal(plain), qos)
    last.wait_for_publish()
    sys.stdin.read()  # until whoever started us has seen enough
    c.disconnect()
    c.loop_stop()


def main():
    what, numbers = sys.argv[1], [int(word) for word in sys.argv[2:]]
    {'seal': time_sealing, 'sub': subscribe, 'pub': publish}[what](*numbers)


if __name__ == '__main__':
    main()
