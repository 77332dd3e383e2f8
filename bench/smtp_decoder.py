"""How fast the octets of DATA are decoded, in pieces as a network hands them over. BDAT's are the message as they are.

python bench/smtp_decoder.py
"""

from time import process_time

from mic_mail.smtp.data import DotDecoder

BODIES = {
    "base64": b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0NTY3\r\n" * 330_000,
    "a dot on every line": b"..BCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz\r\n" * 480_000,
    "short lines": b"ab\r\n" * 6_000_000,
}


def main() -> None:
    for name, body in BODIES.items():
        for octets in (16_384, 65_536, 262_144):
            decoder = DotDecoder()
            began = process_time()
            for at in range(0, len(body), octets):
                decoder.feed(body[at : at + octets])
            print(f"{name:<20} pieces of {octets:>7}: {len(body) / (process_time() - began) / 1e6:5.0f} MB/s")


if __name__ == "__main__":
    main()
