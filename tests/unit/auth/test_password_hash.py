"""Verifiers, decoys, the cache of verified passwords, and the rules for new ones."""

import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import argon2
import pytest

from mic_mail.auth import password_hash
from mic_mail.auth.password_hash import Decoys, HashSettings, VerifiedCache
from mic_mail.errors import Trouble

CHEAP = HashSettings(memory_kib=8, passes=1)
ADDRESS = "dvbe@mic.gov.vn"


def test_a_password_is_right_in_either_normal_form() -> None:
    """A password typed on a Mac (NFD) is the one that was set on Windows (NFC)."""
    word = "Mật khẩu của Bê"
    made = password_hash.make(unicodedata.normalize("NFC", word), CHEAP)
    assert password_hash.verify(made.argon2, unicodedata.normalize("NFD", word))
    assert password_hash.make(unicodedata.normalize("NFD", word), CHEAP, salt=made.scram.salt).scram == made.scram


@pytest.mark.parametrize("wrong", ["", "right passwor", "Right password", "right password ", "\0", "\u0007", "x" * 5000])
def test_wrong_passwords_are_wrong(wrong: str) -> None:
    """Near, empty, forbidden and absurd passwords are refused without an exception."""
    assert not password_hash.verify(password_hash.make("right password", CHEAP).argon2, wrong)


@pytest.mark.parametrize("damaged", ["", "x", "$argon2id$v=19$m=8,t=1,p=1$", "{PLAIN}right password", "{PLAIN}đúng"])
def test_a_damaged_hash_fits_nothing(damaged: str) -> None:
    """A verifier that is no argon2 hash lets nobody in."""
    assert not password_hash.verify(damaged, "right password")


def test_without_memory_nobody_knows() -> None:
    """A password that could not be looked at is not wrong: it would be known as that for an hour."""
    with pytest.raises(Trouble):
        password_hash.verify(f"$argon2id$v=19$m=4294967295,t=1,p=1$c2FsdHNhbHRzYWx0${'A' * 43}", "x")


def test_scram_never_has_fewer_rounds_than_the_floor() -> None:
    """65,536 rounds at least: who steals the directory takes the weaker verifier."""
    with pytest.raises(AssertionError):
        HashSettings(scram_iterations=65_535)
    assert password_hash.make("right password", CHEAP).scram.iterations >= password_hash.SCRAM_ITERATIONS_FLOOR


def test_decoys_look_like_users() -> None:
    """A user who does not exist has a salt that stays the same, in every process, and rounds like everybody's."""
    one, other = Decoys(b"key", CHEAP, dict), Decoys(b"key", CHEAP, dict)
    assert one.scram("ghost").salt == other.scram("ghost").salt != one.scram("spook").salt
    assert one.scram("ghost").iterations == password_hash.make("right password", CHEAP).scram.iterations
    assert Decoys(b"other key", CHEAP, dict).scram("ghost").salt != one.scram("ghost").salt
    assert one.refuse("ghost", "anything") is False


OLD, NEW = "$argon2id$v=19$m=8192,t=1,p=1", "$argon2id$v=19$m=16384,t=2,p=1"


def test_decoys_cost_what_passwords_cost_that_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the configured costs were raised most have the old ones: so have decoys, each its own, whose salt changes with them
    as with a new password. None goes back to the old ones while others get the new."""
    verified: list[str] = []

    def verifying(_: argon2.PasswordHasher, encoded: str, _password: bytes) -> bool:
        verified.append(encoded)
        raise argon2.exceptions.VerifyMismatchError

    monkeypatch.setattr(argon2.PasswordHasher, "verify", verifying)
    raised = HashSettings(memory_kib=16_384, passes=2, scram_iterations=120_000)
    stored: dict[tuple[str, int | None], int] = {(OLD, 65_536): 100}
    decoys = Decoys(b"key", raised, lambda: stored)
    names = [f"ghost{number}" for number in range(200)]
    former = {name: decoys.scram(name) for name in names}
    assert {keys.iterations for keys in former.values()} == {65_536}
    changed = set[str]()
    for new in range(10, 101, 30):
        stored = {(OLD, 65_536): 100 - new, (NEW, 120_000): new, (OLD, None): 0}
        verified.clear()
        for name in names:
            keys = decoys.scram(name)
            assert not decoys.refuse(name, "anything")
            assert verified[-1].rpartition("$")[0].rpartition("$")[0] == (NEW if keys.iterations == 120_000 else OLD)
            assert (keys.salt == former[name].salt) is (keys.iterations == 65_536)
            assert decoys.scram(name).salt == keys.salt
        now = {name for name in names if decoys.scram(name).iterations == 120_000}
        assert changed <= now
        assert abs(len(now) - 2 * new) < 30
        changed = now
    assert len(changed) == 200
    stored = {(OLD, None): 5}
    assert decoys.scram("ghost").iterations == 120_000, "nobody has keys: those that a new password would have"


@pytest.mark.parametrize("stored", [{}, {(OLD, None): 1}])
def test_a_decoy_is_hashed_by_argon2(stored: dict[tuple[str, int | None], int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The library takes the time that it takes for a user, and says no."""
    seen: list[str] = []
    original = argon2.PasswordHasher.verify

    def verifying(self: argon2.PasswordHasher, encoded: str, password: bytes) -> bool:
        seen.append(encoded)
        with pytest.raises(argon2.exceptions.VerifyMismatchError):
            original(self, encoded, password)
        return False

    monkeypatch.setattr(argon2.PasswordHasher, "verify", verifying)
    assert not Decoys(b"key", CHEAP, lambda: stored).refuse("ghost", "anything")
    made = password_hash.make("right password", CHEAP).argon2
    assert [len(part) for part in seen[0].split("$")[-2:]] == [len(part) for part in made.split("$")[-2:]]
    assert seen[0].startswith(OLD if stored else made.rpartition("$")[0].rpartition("$")[0])


def test_the_secret_is_made_once_and_private(tmp_path: Path) -> None:
    """Every process reads the same key; nobody else can."""
    path = tmp_path / "decoy.key"
    assert password_hash.load_secret(path) == password_hash.load_secret(path)
    assert path.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == [path]


def test_of_many_who_make_the_secret_all_have_the_same(tmp_path: Path) -> None:
    """Workers that start at once: nobody reads a file that another one has not written yet."""
    for number in range(50):
        path, together = tmp_path / f"{number}.key", threading.Barrier(8)

        def load(path: Path = path, together: threading.Barrier = together) -> bytes:
            together.wait()
            return password_hash.load_secret(path)

        with ThreadPoolExecutor(8) as threads:
            assert len({done.result() for done in [threads.submit(load) for _ in range(8)]}) == 1


@pytest.mark.parametrize("octets", [b"", b"half of it"])
def test_half_a_secret_is_none(tmp_path: Path, octets: bytes) -> None:
    """Of a disk that was full, or of a power cut: a key that everybody can guess seals nothing."""
    path = tmp_path / "second-factor.key"
    path.write_bytes(octets)
    with pytest.raises(password_hash.BadSecret, match="damaged"):
        password_hash.load_secret(path)


def test_the_cache_forgets_by_version_by_time_and_by_room() -> None:
    """A verified password is known again only for its credential version, until its time, while there is room."""
    cache = VerifiedCache(b"process key", capacity=2)
    first = cache.digest(ADDRESS, 1, "secret")
    cache.add(first, until=10.0)
    assert cache.holds(first, now=9.9)
    assert not cache.holds(cache.digest(ADDRESS, 2, "secret"), now=0.0)
    assert not cache.holds(first, now=10.0)
    cache.add(first, until=10.0)
    cache.add(b"second", until=10.0)
    assert cache.holds(first, now=0.0)
    cache.add(b"third", until=10.0)
    assert (cache.holds(first, 0.0), cache.holds(b"second", 0.0), cache.holds(b"third", 0.0)) == (True, False, True)


def test_the_cache_of_one_process_means_nothing_to_another() -> None:
    """The marks are made under a key of the process."""
    assert VerifiedCache(b"a").digest(ADDRESS, 1, "secret") != VerifiedCache(b"b").digest(ADDRESS, 1, "secret")


def test_secrets_stay_out_of_reprs() -> None:
    """No verifier shows in a repr."""
    made = password_hash.make("right password", CHEAP)
    assert "argon2id" not in repr(made)
    assert made.scram.stored_key.hex() not in repr(made)
    assert repr(made.scram.stored_key) not in repr(made)
