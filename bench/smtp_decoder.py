"""How fast the octets of a message are decoded: DATA's dots, BDAT's chunks, in pieces as a network hands them over.

python bench/smtp_decoder.py
"""

from time import process_time

from mic_mail.smtp.data import ChunkDecoder, DotDecoder

BODIES = {
    "base64": b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0NTY3\r\n" * 330_000,
    "a dot on every line": b"..BCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz\r\n" * 480_000,
    "short lines": b"ab\r\n" * 6_000_000,
}


def main() -> None:
    for name, body in BODIES.items():
        for octets in (16_384, 65_536, 262_144):
            speeds = []
            for decoder in (DotDecoder(), ChunkDecoder()):
                began = process_time()
                for at in range(0, len(body), octets):
                    decoder.feed(body[at : at + octets])
                speeds.append(len(body) / (process_time() - began) / 1e6)
            print(f"{name:<20} pieces of {octets:>7}: DATA {speeds[0]:5.0f} MB/s, BDAT {speeds[1]:5.0f} MB/s")


if __name__ == "__main__":
    main()
