"""Logins for a shop that is served with `--login`: `python -m shop.login ann` prints a token for the customer ann.

A real shop would leave this to an identity provider, and check its tokens in the same way.
"""

import argparse
import os
import secrets
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shop.serve import KEY
from twofold import InvalidInput
from twofold.messages import checked_id


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="shop.login", description="Print a token of a shop served with --login.")
    parser.add_argument("customer", help="id of the customer, or name of the member of staff")
    parser.add_argument("--staff", action="store_true", help="who may also stock, price and ship")
    parser.add_argument("--minutes", type=int, default=60, metavar="N", help="valid for so long (default: %(default)s)")
    parser.add_argument("--key", type=Path, default=KEY, metavar="FILE", help="as of the server (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.minutes < 1:
        parser.error(f"--minutes {options.minutes} is no time: give at least 1")
    try:
        checked_id(options.customer, "customer")
        print(token(key(options.key), options.customer, staff=options.staff, minutes=options.minutes))
    except InvalidInput as error:
        parser.error(str(error))
    except OSError as error:
        print(f"{error.filename} cannot be used ({error.strerror}): name another with --key", file=sys.stderr)
        return 1
    return 0


def key(file: Path = KEY) -> str:
    """The secret that signs tokens, made when it is asked for first. Raises: OSError."""
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        made = file.with_name(f"{file.name}.{os.getpid()}")
        made.touch(0o600)
        made.write_text(secrets.token_hex(32))
        with suppress(FileExistsError):  # another process was faster
            os.link(made, file)
        made.unlink()
    return file.read_text()


def token(key: str, customer: str, *, staff: bool = False, minutes: float = 60) -> str:
    import jwt

    from shop.http.login import ALGORITHM, AUDIENCE

    expires = datetime.now(UTC) + timedelta(minutes=minutes)
    claims = {"sub": customer, "aud": AUDIENCE, "exp": expires} | ({"role": "staff"} if staff else {})
    return jwt.encode(claims, key, ALGORITHM)


if __name__ == "__main__":
    sys.exit(main())
