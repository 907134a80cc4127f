"""Secrets told by their shape, or by the name that they stand beside; they are in no record.

Shapes are those that vendors document for their keys, and what standards say of tokens, keys and
addresses. Every pattern begins at a boundary and is bounded, so that time grows with the text.
Pure: no clock, no network, no logging.
"""

import re
from typing import Final

MASK: Final = "(secret)"
"""Stands where one was."""
LONGEST: Final = 8192
"""Characters of one; who cuts a text keeps so many more of it until it is masked."""

_SHAPES: Final = re.compile(
    "|".join(
        (
            # RFC 7468; one whose end is missing goes as far as a key can be long.
            (
                r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
                rf"(?:(?!-----END)[\s\S]){{0,{LONGEST}}}+(?:-----END [A-Z0-9 ]{{0,60}}-----)?"
            ),
            # JSON Web Tokens, RFC 7519.
            (
                r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,4000}+\.[A-Za-z0-9_-]{8,4000}+"
                r"(?:\.[A-Za-z0-9_-]{0,1000}+)?"
            ),
            # AWS, Google.
            r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}",
            r"(?<![A-Za-z0-9])AIza[0-9A-Za-z_-]{30,60}",
            r"(?<![A-Za-z0-9])ya29\.[0-9A-Za-z_-]{20,2000}+",
            # GitHub, GitLab, Slack, Stripe.
            r"(?<![A-Za-z0-9])gh[opsur]_[A-Za-z0-9]{30,255}+",
            r"(?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{22,255}+",
            r"(?<![A-Za-z0-9])gl[a-z]{2,6}-[A-Za-z0-9_.-]{20,255}+",
            r"(?<![A-Za-z0-9])(?:xox[a-z]|xapp)-[A-Za-z0-9-]{10,255}+",
            r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{20,255}+",
            r"(?<![A-Za-z0-9])(?:[rs]k_(?:live|test)|whsec)_[A-Za-z0-9]{10,255}+",
            # OpenAI, Anthropic.
            r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{20,255}+",
        )
    )
)
_SCHEMES: Final = re.compile(
    r"(?<![A-Za-z0-9])(bearer|basic)([ \t]{1,4})[A-Za-z0-9+/=._~-]{8,4000}+", re.IGNORECASE
)
_ADDRESSES: Final = re.compile(
    r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@?#]{0,256}+:)[^\s/@]{1,256}+@"
)
_ASSIGNED: Final = re.compile(
    r"((?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)"
    r"[A-Za-z0-9_]{0,20}[\"']{0,1}[ \t]{0,4}[:=][ \t]{0,4}[\"']{0,1})[^\s\"'&,;(){}\[\]]{8,512}+",
    re.IGNORECASE,
)
_TELLING: Final = (
    "password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey",
    "credential", "authorization", "cookie",
)  # fmt: skip
_OPAQUE: Final = re.compile(r"[A-Za-z0-9+/=_.~-]{16,}")
_LONGEST_NAME: Final = 256


def masked(text: str) -> str:
    """The text with `MASK` in place of each secret that its shape tells."""
    text = _SHAPES.sub(MASK, text)
    text = _SCHEMES.sub(rf"\1\2{MASK}", text)
    text = _ADDRESSES.sub(rf"\1{MASK}@", text)
    return _ASSIGNED.sub(rf"\1{MASK}", text)


def is_telling(name: str) -> bool:
    """Whether what stands beside this name is a secret, such as `db_password` or `X-Api-Key`."""
    plain = "".join(one for one in name[:_LONGEST_NAME].casefold() if one.isalnum())
    return any(word in plain for word in _TELLING)


def is_opaque(text: str) -> bool:
    """Whether it may be a key or token in hex, base64 or the like, and is no word or number."""
    return _OPAQUE.fullmatch(text[:LONGEST]) is not None
