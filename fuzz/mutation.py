"""Sound files made unsound: bytes and lines anywhere, and values where a format keeps lengths, names and checksums."""

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

NUMBERS = (0, 1, -1, 2, 3, 127, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**64, 10**30)
VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "a", "Imported", "x" * 300, "\ud800", "\0", [], {}, [[]], [1, 2], {"kind": "Conv4"}),
    *(
        0.5,
        -0.5,
        1e308,
        1e-308,
        float("nan"),
        float("inf"),
        -float("inf"),
        {"kind": None},
        "cuda",
        "F64",
        "BOOL",
        "C64",
    ),
    *NUMBERS,
)
TEXTS = (
    "",
    "nan",
    "inf",
    "1e999",
    "-1",
    "=1+1",
    "train",
    "val",
    "test",
    "\0",
    "é",
    "\ufeff",
    '"',
    ",",
    "\n",
    "9" * 400,
)
NAMES = ("../a", "/etc/a", "C:\\a", "a/../../b", "a\0b", ".", "", "a" * 300, "é", "images_background/a/b/c.png")
Mutation = Callable[[bytes, random.Random], bytes]


def of_bytes(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed, cut out, doubled, or put in their place by numbers of 1 to 8 bytes."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at, size = rng.randrange(len(found) + 1), rng.choice((1, 1, 2, 4, 8, 32, 512))
        what = rng.randrange(6)
        if what == 0:
            found[at : at + 1] = bytes([rng.randrange(256)])
        elif what == 1:
            del found[at : at + size]
        elif what == 2:
            found[at:at] = found[at : at + size]
        elif what == 3:
            width = rng.choice((1, 2, 4, 8))
            number = rng.choice(NUMBERS) % (1 << 8 * width)
            found[at : at + width] = number.to_bytes(width, rng.choice(("little", "big")))
        elif what == 4:
            del found[at:]
        elif at < len(found):
            found[at] ^= 1 << rng.randrange(8)
    return bytes(found)


def of_json(data: bytes, rng: random.Random) -> bytes:
    """A value somewhere in a JSON replaced, left out or doubled; now and then lines or bytes."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return of_bytes(data, rng)
    if rng.random() < 0.1:
        return rng.choice((of_bytes(data, rng), b"[" * 100_000, b"9" * 5000, b"\xff\xfe" + data, b""))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = changed(value, rng)
    return json.dumps(value).encode()


def changed(value: Any, rng: random.Random) -> Any:
    """The value with another one in a random place."""
    if not value or not isinstance(value, dict | list) or rng.random() < 0.1:
        if type(value) in (int, float) and abs(value) < 1e100 and rng.random() < 0.5:
            return rng.choice((value + 1, value - 1, -value, value * 1000, str(value), float(value)))
        return rng.choice(VALUES)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key, copy = rng.choice(keys), value.copy()
    what = rng.random()
    if what < 0.1:
        del copy[key]
    elif what < 0.15 and isinstance(copy, dict):
        copy[rng.choice(("kind", "format", "x", "", "filters"))] = rng.choice(VALUES)
    elif what < 0.2:
        copy[key] = copy[rng.choice(keys)]
    else:
        copy[key] = changed(copy[key], rng)
    return copy


def of_lines(data: bytes, rng: random.Random) -> bytes:
    """JSON a line: one changed, left out, doubled or moved."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    what = rng.random()
    if what < 0.6:
        lines[at] = of_json(lines[at], rng)
    elif what < 0.75:
        lines.insert(rng.randrange(len(lines)), lines[at])
    elif what < 0.9:
        del lines[at]
    else:
        return of_bytes(data, rng)
    return b"\n".join(lines)


def of_tensors(data: bytes, rng: random.Random) -> bytes:
    """A safetensors file: its header, the JSON of ours within that, or its bytes."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
        ours = json.loads(header["__metadata__"]["fewstep"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return of_bytes(data, rng)
    what = rng.random()
    if what < 0.55:
        header["__metadata__"]["fewstep"] = of_json(json.dumps(ours).encode(), rng).decode("utf-8", "replace")
    elif what < 0.75:
        header = changed(header, rng)
    elif what < 0.85:
        names = [name for name in header if name != "__metadata__"]
        first, second = rng.choice(names), rng.choice(names)
        header[first], header[second] = header[second], header[first]
    else:
        return of_bytes(data, rng)
    packed = json.dumps(header).encode()
    packed += b" " * (-len(packed) % 8)
    return len(packed).to_bytes(8, "little") + packed + data[8 + length :]


def of_png(data: bytes, rng: random.Random) -> bytes:
    """A PNG with a chunk changed, left out or doubled, its checksum right all the same; another picture: its bytes."""
    if not data.startswith(b"\x89PNG") or rng.random() < 0.3:
        return of_bytes(data, rng)
    chunks, at = [], 8
    while at + 12 <= len(data):
        size = struct.unpack(">I", data[at : at + 4])[0]
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += size + 12
    if not chunks:
        return of_bytes(data, rng)
    i = rng.randrange(len(chunks))
    kind, content = chunks[i]
    if rng.random() < 0.7:
        chunks[i] = (rng.choice((kind, kind, b"IDAT", b"tRNS", b"PLTE", b"zTXt", b"iCCP")), of_bytes(content, rng))
    elif rng.random() < 0.5:
        chunks.insert(rng.randrange(len(chunks)), chunks[i])
    else:
        del chunks[i]
    made = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return data[:8] + b"".join(made)


def of_zip(data: bytes, rng: random.Random) -> bytes:
    """A zip packed anew with another name, content, kind or sizes of a member, or its bytes."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception:  # noqa: BLE001  # it was changed before: any error of zipfile
        return of_bytes(data, rng)
    if not members or rng.random() < 0.4:
        return of_bytes(data, rng)
    chosen = rng.choice(list(members))
    stream = io.BytesIO()
    with zipfile.ZipFile(
        stream, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    ) as archive:
        for name, content in members.items():
            if name == chosen:
                what = rng.random()
                if what < 0.2:
                    continue
                name = rng.choice(NAMES) if what < 0.5 else name
                content = of_png(content, rng) if what > 0.5 else content
            info = zipfile.ZipInfo(name or "x")
            if name == chosen and rng.random() < 0.2:
                info.external_attr = rng.choice((0o120777, 0o020666, 0o060666, 0o010666)) << 16
            archive.writestr(info, content, compress_type=archive.compression)
    return stream.getvalue()


def of_tar(data: bytes, rng: random.Random) -> bytes:
    """A tar with another kind, size or name in a header, its checksum right all the same, or its bytes."""
    if rng.random() < 0.4 or len(data) < 1024 or data[257:262] != b"ustar":
        return of_bytes(data, rng)
    found = bytearray(data)
    start = 512 * rng.randrange(len(found) // 512)
    at, value = rng.choice(
        (
            (0, rng.choice(NAMES).encode()[:99] + b"\0"),
            (124, b"%011o\0" % rng.choice((0, 1, 511, 513, 8**11 - 1))),
            (124, b"\x80" + rng.choice(NUMBERS[:12]).to_bytes(11, "big", signed=True)),
            (156, rng.choice((b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"x", b"g", b"L", b"K", b"S", b"Z", b"\xff"))),
            (257, rng.choice((b"ustar\x0000", b"ustar  \0", b"\0" * 8))),
            (386, bytes(rng.randrange(256) for _ in range(96))),
        )
    )
    found[start + at : start + at + len(value)] = value
    found[start + 148 : start + 156] = b" " * 8
    found[start + 148 : start + 156] = b"%06o\0 " % (sum(found[start : start + 512]) % 8**6)
    return bytes(found)


def of_archive(data: bytes, rng: random.Random) -> bytes:
    """A zip or a tar, one within gzip too, as what it is."""
    if data.startswith(b"PK"):
        return of_zip(data, rng)
    if data.startswith(b"\x1f\x8b") and rng.random() < 0.7:
        try:
            packer = zlib.compressobj(wbits=31)
            return packer.compress(of_tar(zlib.decompress(data, 31), rng)) + packer.flush()
        except zlib.error:
            return of_bytes(data, rng)
    return of_tar(data, rng)


def of_table(data: bytes, rng: random.Random) -> bytes:
    """A CSV with a cell or a line changed, left out or doubled."""
    lines = [line.split(b",") for line in data.split(b"\n")]
    if rng.random() < 0.2:
        return of_bytes(data, rng)
    for _ in range(rng.choice((1, 1, 2, 5))):
        line = lines[rng.randrange(len(lines))]
        what = rng.random()
        if what < 0.6:
            line[rng.randrange(len(line))] = rng.choice((*TEXTS, *map(str, NUMBERS))).encode()
        elif what < 0.75:
            line.insert(rng.randrange(len(line)), line[0])
        elif what < 0.85 and len(lines) > 1:
            lines.remove(line)
        else:
            lines.insert(rng.randrange(len(lines)), list(line))
    return b"\n".join(b",".join(line) for line in lines)


def of_words(data: bytes, rng: random.Random) -> bytes:
    """Words of a command line, one a line: a value, an option, a dotted field changed, left out, doubled, moved."""
    words = data.split(b"\n")
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(words))
        what = rng.random()
        if what < 0.5:
            words[at] = str(
                rng.choice((*TEXTS, *NUMBERS, "mlp", "sgd", "no_module:Net", "..:x", ":", "a:b:c"))
            ).encode()
        elif what < 0.65:
            words[at] = of_bytes(words[at], rng)
        elif what < 0.8 and len(words) > 1:
            del words[at]
        else:
            words.insert(rng.randrange(len(words)), words[at])
    return b"\n".join(words)
