"""Where credentials are, and how a master is checked with them."""

from __future__ import annotations

import base64
import os
import re
import tempfile
from pathlib import Path
from typing import Optional, Union

try:
    import ssl
except ImportError:  # Within a component there is none, and no need of it.
    ssl = None  # type: ignore[assignment]

from .errors import IdentityError

#: The DNS name in every master's certificate, and in no other: it is asked for whatever host is
#: dialled, so that hosts may change and no agent can pass for a master.
MASTER_NAME = "master.skep"

#: The algorithm, and what comes before the key.
_ED25519 = b"\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"

_FILES = ("cert.pem", "key.pem", "ca.pem")


def config_dir() -> Optional[Path]:
    """The folder of all that skep keeps for this user; None if no home is known."""
    for variable, below in (
        ("SKEP_CONFIG_DIR", ""),
        ("XDG_CONFIG_HOME", "skep"),
        ("HOME", ".config/skep"),
    ):
        value = os.environ.get(variable)
        if value:
            return Path(value, below)
    return None


def dir_for(address: str) -> Optional[Path]:
    """The folder of the identity that ``skep`` keeps for the master at ``host:port``."""
    folder = config_dir()
    name = re.sub(r"[^A-Za-z0-9.-]", "_", address)
    return folder / "clusters" / name if folder else None


def find(identity: Union[str, "os.PathLike[str]", None], address: str) -> Path:
    """The folder of an identity: the one that is given, of SKEP_IDENTITY, or kept by ``skep``."""
    given = identity or os.environ.get("SKEP_IDENTITY")
    folder = Path(given) if given else dir_for(address)
    if folder is None:
        raise IdentityError("there is no home folder to look for an identity in: set SKEP_IDENTITY")
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise IdentityError(
            f"no identity for {address} in {folder} ({', '.join(missing)} missing): join once with "
            f"a token of `skep token create --role framework`, such as by "
            f"`skep status --master {address} --join TOKEN`, or give identity= or SKEP_IDENTITY"
        )
    return folder


def tls(folder: Path) -> ssl.SSLContext:
    """TLS as this identity, with masters of its cluster alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cafile=str(folder / "ca.pem"))
        _load_certificate(context, folder / "cert.pem", folder / "key.pem")
    except (ssl.SSLError, OSError) as error:
        raise IdentityError(f"the identity in {folder} cannot be used: {error}") from error
    return context


def _load_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        context.load_cert_chain(str(certificate), str(key))
        return
    except ssl.SSLError:
        older = _first_version(key.read_text())
        if older is None:
            raise
    # Only its owner may read it, and it is gone at once.
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(older)
        file.flush()
        context.load_cert_chain(str(certificate), file.name)


def _first_version(pem: str) -> Optional[str]:
    """An Ed25519 key in the first version of PKCS #8, if it is in the second.

    The first builds of skep wrote the second, which OpenSSL up to 3.0 does not take.
    """
    lines = pem.split("-----")
    if len(lines) < 3 or lines[1] != "BEGIN PRIVATE KEY":
        return None
    try:
        der = base64.b64decode(lines[2])
    except ValueError:
        return None
    # Both have the 32 bytes of the key at the same place.
    if der[2:16] != b"\x02\x01\x01" + _ED25519 or len(der) < 48:
        return None
    body = base64.b64encode(b"\x30\x2e\x02\x01\x00" + _ED25519 + der[16:48]).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"
