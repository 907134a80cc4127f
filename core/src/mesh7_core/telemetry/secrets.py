"""Secrets told by their shape, or by the name that they stand beside; they are in no record.

Shapes are those that vendors document for their keys, and what standards say of tokens, keys and
addresses. Every pattern begins at a boundary and is bounded or gives nothing back, so that time
grows with the text.
Pure: no clock, no network, no logging.
"""

import re
from typing import Final

from mesh7_core.telemetry import telling

MASK: Final = "(secret)"
"""Stands where one was."""
LONGEST: Final = 8192
"""Characters of one; who cuts a text keeps so many more of it until it is masked."""

_PEM: Final = (
    # RFC 7468; one whose end is missing goes as far as a key can be long.
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    rf"(?:(?!-----END)[\s\S]){{0,{LONGEST}}}+(?:-----END [A-Z0-9 ]{{0,60}}-----)?"
)
# JSON Web Tokens, RFC 7519.
_JWT: Final = (
    r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,4000}+\.[A-Za-z0-9_-]{8,4000}+"
    r"(?:\.[A-Za-z0-9_-]{0,1000}+)?"
)
_SHAPES: Final = tuple(
    (mark, re.compile(shape))
    for marks, shape in (
        (("-----BEGIN",), _PEM),
        (("eyJ",), _JWT),
        # AWS, Google.
        (
            ("AKIA", "ASIA", "ABIA", "ACCA"),
            r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}",
        ),
        (("AIza",), r"(?<![A-Za-z0-9])AIza[0-9A-Za-z_-]{30,60}"),
        (("ya29.",), r"(?<![A-Za-z0-9])ya29\.[0-9A-Za-z_-]{20,2000}+"),
        # GitHub, GitLab, Slack, Stripe.
        (
            ("gho_", "ghp_", "ghs_", "ghu_", "ghr_"),
            r"(?<![A-Za-z0-9])gh[opsur]_[A-Za-z0-9]{30,255}+",
        ),
        (("github_pat_",), r"(?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{22,255}+"),
        (("gl",), r"(?<![A-Za-z0-9])gl[a-z]{2,6}-[A-Za-z0-9_.-]{20,255}+"),
        (("xox", "xapp-"), r"(?<![A-Za-z0-9])(?:xox[a-z]|xapp)-[A-Za-z0-9-]{10,255}+"),
        (
            ("hooks.slack.com/",),
            r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{20,255}+",
        ),
        (
            ("k_live_", "k_test_", "whsec_"),
            r"(?<![A-Za-z0-9])(?:[rs]k_(?:live|test)|whsec)_[A-Za-z0-9]{10,255}+",
        ),
        # OpenAI, Anthropic.
        (("sk-",), r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{20,255}+"),
    )
    for mark in marks
)
"""Each with what stands in all that it finds: few texts have any of it, and that is soon seen."""
_SCHEMES: Final = re.compile(
    r"(?<![A-Za-z0-9])([Bb]earer|BEARER|[Bb]asic|BASIC)([ \t]{1,4})[A-Za-z0-9+/=._~-]{8,4000}+"
)
_ADDRESSES: Final = re.compile(r"://((?:[^\s:\"<>]++|:(?!//))++)")
_PORT: Final = re.compile(r"\d{1,5}(?![^\s/?#'),;\]}`\\])")
_OPAQUE: Final = re.compile(r"[A-Za-z0-9+/=_.~-]{16,}")


def masked(text: str, mask: str = MASK) -> str:
    """The text with `mask` in place of each secret that its shape, or a name beside it, tells."""
    for mark, shape in _SHAPES:
        if mark in text:
            text = shape.sub(mask, text)
    text = _SCHEMES.sub(rf"\1\2{mask}", text)
    if "://" in text and "@" in text:
        text = _ADDRESSES.sub(lambda found: f"://{_without_password(found[1], mask)}", text)
    return telling.masked(text, mask)


def is_opaque(text: str) -> bool:
    """Whether it may be a key or token in hex, base64 or the like, and is no word or number."""
    return _OPAQUE.fullmatch(text[:LONGEST]) is not None


def _without_password(address: str, mask: str) -> str:
    """What follows `://`. A password may have any sign in it, so it goes on to the last `@`."""
    end = address.rfind("@")
    if end < 0:
        return address
    user, colon, _ = address[:end].partition(":")
    if any(sign in user for sign in "/?#"):
        return address
    if not colon:
        return mask + address[end:] if is_opaque(user) else address
    if user and _PORT.match(address, len(user) + 1):
        return address
    return f"{user}:{mask}{address[end:]}"
