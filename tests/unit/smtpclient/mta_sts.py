"""Policies of MTA-STS."""


def policy(mode: str = "enforce", mx: str = "mx.one.example", age: int = 604_800) -> bytes:
    return f"version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: {age}\r\n".encode()
