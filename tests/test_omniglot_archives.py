"""Omniglot's archives: small ones in the published layout, each kind of damage, and the real ones."""

import io
import os
import random
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from hashlib import md5
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewstep.tasks.download import DownloadError
from fewstep.tasks.omniglot_archives import ensure, fingerprint, read, verify
from fewstep.tasks.omniglot_layout import PARTS, ArchiveError, Part, arrange, open_members

SMALL = (Part("background", 3, "0" * 32), Part("evaluation", 2, "0" * 32))
CLASSES = {
    "background": ["Alpha/character01", "Beta/character01", "Beta/character02"],
    "evaluation": ["Gamma/character01", "Gamma/character02"],
}
NAMES = [f"{part}/{name}" for part, names in CLASSES.items() for name in names]
BAD = "images_background/Beta/character01/0002_07.png"


def png(black_rows: int, side: int = 105, mode: str = "1") -> bytes:
    pixels = np.full((side, side), 255, np.uint8)
    pixels[:black_rows] = 0
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, "PNG")
    return stream.getvalue()


def black_rows(c: int, m: int) -> int:
    """Another number for each drawing of the small data set, so that none can change places."""
    return 20 * c + m + 1


def files(part: str) -> dict[str, bytes]:
    """path -> PNG, in the layout of the published archives."""
    first = 0 if part == "background" else 3
    return {
        f"images_{part}/{name}/{c + 1:04d}_{m + 1:02d}.png": png(black_rows(c, m))
        for c, name in enumerate(CLASSES[part], start=first)
        for m in range(20)
    }


def write_zip(path: Path, content: dict[str, bytes]) -> None:
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def write_folder(root: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`<data root>/omniglot` with two small archives, their members in no order."""
    for part in CLASSES:
        content = list(files(part).items())
        random.Random(0).shuffle(content)
        write_zip(tmp_path / "omniglot" / f"images_{part}.zip", dict(content))
    return tmp_path / "omniglot"


def refused(folder: Path) -> str:
    with pytest.raises(ArchiveError) as caught:
        read(folder, 28, "box", SMALL)
    return str(caught.value)


def refused_member(folder: Path, change: Callable[[dict[str, bytes]], object]) -> str:
    """The refusal of a background archive with `change` made to its files."""
    content = files("background")
    change(content)
    write_zip(folder / "images_background.zip", content)
    return refused(folder)


def test_drawings_lie_in_sorted_order_with_ink_zero_on_white(folder: Path) -> None:
    classes = read(folder, 105, "nearest", SMALL)
    assert classes.names == NAMES
    assert classes.images.shape == (5, 20, 105, 105)
    assert classes.images.dtype == np.uint8
    ink = (classes.images == 0).all(-1).sum(-1)
    assert ink.tolist() == [[black_rows(c, m) for m in range(20)] for c in range(5)]
    assert np.isin(classes.images, (0, 255)).all()


def test_an_unpacked_folder_reads_as_its_archive_does(folder: Path, tmp_path: Path) -> None:
    for part in CLASSES:
        write_folder(tmp_path / "unpacked", files(part))
    packed, unpacked = read(folder, 28, "box", SMALL), read(tmp_path / "unpacked", 28, "box", SMALL)
    assert packed.names == unpacked.names
    assert (packed.images == unpacked.images).all()


def test_box_averages_grey_levels_and_nearest_does_not(folder: Path) -> None:
    # 105 rows to 21: five source rows each. Drawing (0, 0) has one black row: the first mean is 255 * 4 / 5 = 204.
    box, nearest = (read(folder, 21, name, SMALL).images[0, 0] for name in ("box", "nearest"))
    assert (box[0] == 204).all()
    assert (box[1:] == 255).all()
    assert np.isin(nearest, (0, 255)).all()


@pytest.mark.parametrize("resampling", ["box", "bilinear", "lanczos"])
def test_smooth_filters_see_grey_images(folder: Path, resampling: str) -> None:
    assert not np.isin(read(folder, 28, resampling, SMALL).images, (0, 255)).all()


def test_system_files_are_overlooked(folder: Path) -> None:
    junk = {
        "__MACOSX/images_background/Beta/character01/._0002_01.png": b"mac",
        "images_background/.DS_Store": b"mac",
        "images_background/Beta/character01/.DS_Store": b"mac",
        "images_background/": b"",
        "images_background/Beta/": b"",
        "images_background/Beta/character01/": b"",
    }
    write_zip(folder / "images_background.zip", junk | files("background"))
    assert read(folder, 28, "box", SMALL).names == NAMES


def test_backslashes_of_a_windows_packer_separate_folders(folder: Path) -> None:
    write_zip(folder / "images_background.zip", {k.replace("/", "\\"): v for k, v in files("background").items()})
    assert read(folder, 28, "box", SMALL).names == NAMES


def test_wrong_arguments_are_refused_before_any_reading(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"resampling='cubic', expected one of nearest, box"):
        read(tmp_path, 28, "cubic")
    with pytest.raises(ValueError, match="size=0"):
        read(tmp_path, 0, "box")


def test_a_missing_part_says_where_it_may_lie(folder: Path) -> None:
    (folder / "images_evaluation.zip").unlink()
    message = refused(folder)
    assert "neither images_evaluation.zip nor images_evaluation/" in message
    assert "FEWSTEP_DATA" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><title>Sign in</title>", "is an HTML page ('Sign in')"),
        (b"\x1f\x8b\x08\x00 gzip", "is not a zip"),
    ],
)
def test_a_file_that_is_no_zip_is_told_by_what_it_is(folder: Path, content: bytes, said: str) -> None:
    (folder / "images_background.zip").write_bytes(content)
    message = refused(folder)
    assert said in message
    assert "expected a zip archive" in message


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_zip_is_called_truncated(folder: Path, kept: float) -> None:
    path = folder / "images_background.zip"
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    assert "truncated" in refused(folder)


def test_the_other_part_under_this_name_is_recognised(folder: Path) -> None:
    (folder / "images_background.zip").write_bytes((folder / "images_evaluation.zip").read_bytes())
    assert "it is Omniglot's evaluation part under the name of the background part" in refused(folder)


def test_another_data_set_is_refused_by_its_top_folder(folder: Path) -> None:
    write_zip(folder / "images_background.zip", {"mnist/train/0/1.png": png(1)})
    assert "holds mnist, expected one folder images_background/" in refused(folder)


def test_a_renamed_folder_is_recognised_by_its_number_of_classes() -> None:
    paths = [f"images_background/A/character{c:03d}/{m:02d}.png" for c in range(659) for m in range(20)]
    with pytest.raises(ArchiveError, match=r"659 classes, as many as Omniglot's evaluation part .* expected 964"):
        arrange(paths, PARTS[0], Path("images_background"))


def test_a_class_without_all_its_images_is_named(folder: Path) -> None:
    message = refused_member(folder, lambda content: content.pop(BAD))
    assert "Beta/character01 has 19 images, expected 20" in message


def test_a_class_with_an_image_too_many_is_named(folder: Path) -> None:
    message = refused_member(folder, lambda content: content.update({BAD.replace("_07", "_21"): png(1)}))
    assert "Beta/character01 has 21 images, expected 20" in message


def test_an_image_outside_a_class_folder_is_named(folder: Path) -> None:
    message = refused_member(folder, lambda content: content.update({"images_background/stray.png": png(1)}))
    assert "'images_background/stray.png' is not at ALPHABET/CHARACTER/IMAGE.png" in message


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge(side: int) -> bytes:
    """A PNG of a few bytes that declares side x side pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"not an image", "does not decode"),
        (b"", "does not decode"),
        (png(1)[:60], "does not decode"),
        (huge(10_000), "does not decode"),
        (huge(50_000), "does not decode"),
        (png(1, side=104), "is 104x104 of mode 1"),
        (png(1, mode="RGBA"), "is 105x105 of mode RGBA"),
    ],
)
def test_an_image_that_is_no_drawing_is_named(folder: Path, data: bytes, said: str) -> None:
    message = refused_member(folder, lambda content: content.update({BAD: data}))
    assert f"{BAD!r} {said}" in message


@pytest.mark.parametrize("name", ["../evil.png", "images_background/../../evil", "/etc/evil", "C:\\evil", "..\\x"])
def test_a_member_that_points_outside_is_refused_by_name(folder: Path, name: str) -> None:
    message = refused_member(folder, lambda content: content.update({name: b"x"}))
    assert f"member {name!r} points outside the archive" in message


def test_a_symbolic_link_is_refused_by_name(folder: Path) -> None:
    with zipfile.ZipFile(folder / "images_background.zip", "a") as archive:
        link = zipfile.ZipInfo("images_background/link")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert "member 'images_background/link' is a symbolic link" in refused(folder)


def test_a_member_of_absurd_size_is_refused_without_unpacking(folder: Path) -> None:
    message = refused_member(folder, lambda content: content.update({BAD: bytes(2 << 20)}))
    assert f"{BAD!r} has {2 << 20} bytes" in message


def test_a_file_of_absurd_size_in_a_folder_is_refused(tmp_path: Path) -> None:
    for part in CLASSES:
        write_folder(tmp_path, files(part))
    (tmp_path / BAD).write_bytes(bytes(2 << 20))
    assert "Beta/character01/0002_07.png' has" in refused(tmp_path)


def test_a_member_that_comes_twice_is_named(folder: Path) -> None:
    path = folder / "images_background.zip"
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(BAD, png(1))
    assert f"member {BAD!r} comes twice" in refused(folder)


def test_a_damaged_member_is_named(folder: Path) -> None:
    path = folder / "images_background.zip"
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(BAD)
    data = bytearray(path.read_bytes())
    data[info.header_offset + 30 + len(BAD) + 20] ^= 0xFF  # a byte of the compressed data
    path.write_bytes(data)
    assert f"member {BAD!r} is damaged" in refused(folder)


def test_random_damage_is_always_refused_or_harmless(folder: Path) -> None:
    path, rng = folder / "images_background.zip", random.Random(0)
    sound, expected = path.read_bytes(), read(folder, 28, "box", SMALL)
    for _ in range(60):
        damaged = bytearray(sound)
        for _ in range(3):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            got = read(folder, 28, "box", SMALL)
        except ArchiveError:
            continue
        assert (got.images == expected.images).all()


def test_a_fingerprint_changes_with_the_file_and_with_an_alphabet(folder: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "unpacked", files("background"))
    write_zip(tmp_path / "unpacked" / "images_evaluation.zip", files("evaluation"))
    before = fingerprint(tmp_path / "unpacked", SMALL)
    assert fingerprint(tmp_path / "unpacked", SMALL) == before
    os.utime(tmp_path / "unpacked" / "images_evaluation.zip", ns=(1, 1))
    later = fingerprint(tmp_path / "unpacked", SMALL)
    assert later["background"] == before["background"]
    assert later["evaluation"] != before["evaluation"]
    os.utime(tmp_path / "unpacked" / "images_background" / "Beta", ns=(1, 1))
    assert fingerprint(tmp_path / "unpacked", SMALL)["background"] != later["background"]


def test_verify_tells_the_official_archive_from_a_repacked_one(folder: Path) -> None:
    digest = md5((folder / "images_background.zip").read_bytes()).hexdigest()
    background, evaluation = verify(folder, (SMALL[0]._replace(md5=digest), SMALL[1]))
    assert (background.kind, background.classes, background.images) == ("zip", 3, 60)
    assert (background.md5, background.verdict) == (digest, "official archive")
    assert evaluation.verdict == "repacked archive: contents verified"
    assert background.problem is evaluation.problem is None


def test_verify_reports_every_part_though_the_first_is_bad(folder: Path, tmp_path: Path) -> None:
    (folder / "images_background.zip").unlink()
    write_folder(folder, files("evaluation"))
    (folder / "images_evaluation.zip").unlink()
    background, evaluation = verify(folder, SMALL)
    assert background.kind == "missing"
    assert "neither" in (background.problem or "")
    assert (evaluation.kind, evaluation.verdict) == ("folder", "folder: contents verified")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_ensure_downloads_only_what_is_not_there(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    digest = md5((folder / "images_evaluation.zip").read_bytes()).hexdigest()
    write_folder(tmp_path / "mine" / "omniglot", files("background"))  # unpacked: its md5 of zeros is not asked for
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        parts = (SMALL[0], SMALL[1]._replace(md5=digest))
        ensure(tmp_path / "mine" / "omniglot", parts, f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
        thread.join()
    names = sorted(path.name for path in (tmp_path / "mine" / "omniglot").iterdir())
    assert names == ["images_background", "images_evaluation.zip"]
    assert read(tmp_path / "mine" / "omniglot", 28, "box", SMALL).names == NAMES


def test_ensure_offline_says_where_the_files_may_lie(tmp_path: Path) -> None:
    (tmp_path / "omniglot").write_bytes(b"")  # not a folder: fails at once, with no waiting for a network
    with pytest.raises(DownloadError, match=r"set FEWSTEP_DATA or --data-root to the folder that holds omniglot/"):
        ensure(tmp_path / "omniglot")


@pytest.fixture(scope="module")
def real() -> Path:
    root = os.environ.get("FEWSTEP_DATA")
    if not root or not (Path(root) / "omniglot").is_dir():
        pytest.skip("FEWSTEP_DATA does not hold omniglot/")
    return Path(root) / "omniglot"


@pytest.mark.omniglot
def test_real_omniglot_has_1623_characters_of_50_alphabets(real: Path) -> None:
    names = []
    for part in PARTS:
        source = real / f"{part.stem}.zip"
        source = source if source.is_file() else real / part.stem
        with open_members(source, part) as members:
            names += arrange((member.path for member in members), part, source).names
    assert len(names) == 1623
    assert names[0] == "background/Alphabet_of_the_Magi/character01"
    assert names == sorted(names)
    assert len({name.split("/")[1] for name in names}) == 50


@pytest.mark.omniglot
def test_real_drawings_are_dark_ink_on_white(real: Path) -> None:
    images = read(real, 28, "box", PARTS[1:]).images  # one part: decoding both takes five seconds
    assert images.shape == (659, 20, 28, 28)
    assert (images.mean((2, 3)) > 127).all()  # mostly paper
    assert (images.min((2, 3)) < 255).all()  # none is blank


@pytest.mark.omniglot
def test_the_fingerprint_of_real_omniglot_names_both_parts(real: Path) -> None:
    assert list(fingerprint(real)) == ["background", "evaluation"]
