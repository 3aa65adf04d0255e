"""Compares hpack_probe with python3-hpack: hpack_reference.py PROBE SEED ROUNDS. Run by Debian's Python, which has it.

Header lists as gRPC servers send them and lists at random, encoded by the reference with and without Huffman code, with
table sizes that change, never-indexed fields, and blocks with a byte changed: both must say the same, and their tables
must stay the same. And what our encoder writes, the reference must read.
"""

import random
import subprocess
import sys

import hpack
from hpack import HeaderTuple, NeverIndexedHeaderTuple

NAMES = [b"content-type", b"grpc-status", b"grpc-message", b"date", b"server", b"x-very-own", b"trailer", b"a", b"",
         b"cookie", b"te", b"grpc-encoding"]


class Probe:
    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")

    def decode(self, block):
        answer = self.ask("decode", block.hex())
        if answer == "error":
            return None
        return [tuple(bytes.fromhex(part) for part in word.split(":")) for word in answer.split()]


def value(dice):
    kind = dice.randrange(4)
    if kind == 0:
        return str(dice.randrange(20)).encode()
    if kind == 1:
        return bytes(dice.choice(b"abcdefghijklmnopqrstuvwxyz0123456789 /:%-") for _ in range(dice.randrange(60)))
    if kind == 2:
        return bytes(dice.randrange(256) for _ in range(dice.randrange(40)))
    return b"x" * dice.choice([0, 1, 126, 127, 128, 300, 5000])


def fields(dice):
    out = [(b":status", dice.choice([b"200", b"200", b"404", b"503", b"201"]))]
    for _ in range(dice.randrange(8)):
        name = dice.choice(NAMES) if dice.random() < 0.8 else bytes(dice.choice(b"abcdef-") for _ in range(dice.randrange(30)))
        kind = NeverIndexedHeaderTuple if dice.random() < 0.1 else HeaderTuple
        out.append(kind(name, value(dice)))
    return out


def reference_decode(decoder, block):
    try:
        return [tuple(field) for field in decoder.decode(block, raw=True)]
    except hpack.HPACKError:
        return None


def main():
    probe = Probe(sys.argv[1])
    dice = random.Random(int(sys.argv[2]))
    refused = 0
    for number in range(int(sys.argv[3])):
        probe.ask("reset")
        encoder, decoder = hpack.Encoder(), hpack.Decoder(max_header_list_size=1 << 20)
        # A connection: good blocks, and perhaps a broken one at its end.
        for _ in range(dice.randrange(1, 12)):
            if dice.random() < 0.2:
                encoder.header_table_size = dice.choice([0, 100, 1000, 4096])
            wanted = fields(dice)
            block = encoder.encode(wanted, huffman=dice.random() < 0.7)
            ours, theirs = probe.decode(block), reference_decode(decoder, block)
            assert ours == theirs == [tuple(field) for field in wanted], (number, block.hex(), ours, theirs)
        block = bytearray(encoder.encode(fields(dice), huffman=True))
        for _ in range(dice.randrange(1, 4)):
            block[dice.randrange(len(block))] = dice.randrange(256)
        ours, theirs = probe.decode(bytes(block)), reference_decode(decoder, bytes(block))
        assert ours == theirs, (number, bytes(block).hex(), ours, theirs)
        refused += ours is None
        # The other direction.
        reader = hpack.Decoder(max_header_list_size=1 << 20)
        for _ in range(3):
            if dice.random() < 0.3:
                limit = dice.choice([0, 10, 4096])
                reader.max_allowed_table_size = limit
                probe.ask("limit", str(limit))
            wanted = [(name, value) for name, value in fields(dice)]
            written = bytes.fromhex(probe.ask("encode", *(f"{n.hex()}:{v.hex()}" for n, v in wanted)))
            assert reference_decode(reader, written) == wanted, (number, written.hex(), wanted)
    probe.process.stdin.close()
    assert probe.process.wait(10) == 0
    print(f"{sys.argv[3]} connections alike, {refused} broken blocks refused by both")


main()
