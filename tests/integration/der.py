"""A tiny DER writer, for making deliberately wrong DER too.

Every function returns bytes and checks nothing: whatever it is given goes out as it is. The
reader at the end is strict and serves the tests only, to take good messages apart.
"""

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UTF8, PRINTABLE, TELETEX, IA5, UNIVERSAL, BMP = 0x0C, 0x13, 0x14, 0x16, 0x1C, 0x1E
SEQUENCE, SET = 0x30, 0x31


def length(n):
    """The shortest encoding of a length (X.690 §10.1)."""
    if n < 0x80:
        return bytes([n])
    octets = n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets


def tlv(tag, body=b""):
    return bytes([tag]) + length(len(body)) + body


def seq(*parts):
    return tlv(SEQUENCE, b"".join(parts))


def set_of(*parts):
    """SET OF in DER order (X.690 §11.6)."""
    return tlv(SET, b"".join(sorted(parts)))


def integer(n):
    return tlv(INTEGER, n.to_bytes((n + (n < 0)).bit_length() // 8 + 1, "big", signed=True))


def boolean(value):
    return tlv(BOOLEAN, b"\xff" if value else b"\x00")


def null():
    return tlv(NULL)


def oid(dotted):
    arcs = [int(arc) for arc in dotted.split(".")]
    body = b""
    for arc in [arcs[0] * 40 + arcs[1]] + arcs[2:]:
        octets = [arc & 0x7F]
        while arc := arc >> 7:
            octets.append(0x80 | (arc & 0x7F))
        body += bytes(reversed(octets))
    return tlv(OID, body)


def octets(body):
    return tlv(OCTET_STRING, body)


def bits(body, unused=0):
    return tlv(BIT_STRING, bytes([unused]) + body)


def named_bits(*numbers):
    """A named bit list without trailing zero bits, as KeyUsage is (X.690 §11.2.2)."""
    if not numbers:
        return bits(b"")
    size = max(numbers) // 8 + 1
    value = sum(1 << (size * 8 - 1 - n) for n in numbers)
    return bits(value.to_bytes(size, "big"), 7 - max(numbers) % 8)


def utf8(text):
    return tlv(UTF8, text.encode() if isinstance(text, str) else text)


def printable(text):
    return tlv(PRINTABLE, text.encode("ascii") if isinstance(text, str) else text)


def ia5(text):
    return tlv(IA5, text.encode("ascii") if isinstance(text, str) else text)


def implicit(number, body):
    """[number] IMPLICIT of a primitive type."""
    return tlv(0x80 | number, body)


def explicit(number, *parts):
    """[number] EXPLICIT, or IMPLICIT of a constructed type."""
    return tlv(0xA0 | number, b"".join(parts))


# -- Wrong on purpose --------------------------------------------------------------------------

def tlv_long_length(tag, body, octets_of_length=4):
    """A length in more octets than it needs (BER, not DER)."""
    return bytes([tag, 0x80 | octets_of_length]) + len(body).to_bytes(octets_of_length,
        "big") + body


def tlv_indefinite(tag, body):
    """Indefinite length with end-of-contents (BER, not DER)."""
    return bytes([tag, 0x80]) + body + b"\x00\x00"


def tlv_claiming(tag, claimed, body):
    """A length that has nothing to do with the body."""
    return bytes([tag]) + length(claimed) + body


def nested(depth, tag=SEQUENCE, innermost=b""):
    """@depth constructed elements, one inside the other."""
    body, parts, size = innermost, [], len(innermost)
    for _ in range(depth):
        head = bytes([tag]) + length(size)
        parts.append(head)
        size += len(head)
    return b"".join(reversed(parts)) + body


# -- Reading back ------------------------------------------------------------------------------

def split(data):
    """The elements of @data as (tag, body, whole); ValueError for anything but strict DER."""
    found, at = [], 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("short element")
        tag, size, head = data[at], data[at + 1], 2
        if tag & 0x1F == 0x1F or size == 0x80:
            raise ValueError("high tag number or indefinite length")
        if size & 0x80:
            head += size & 0x7F
            size = int.from_bytes(data[at + 2:at + head], "big")
        if length(size) != data[at + 1:at + head] or at + head + size > len(data):
            raise ValueError("bad length")
        found.append((tag, data[at + head:at + head + size], data[at:at + head + size]))
        at += head + size
    return found
