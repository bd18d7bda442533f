"""Folders, zips and tars whose files are read where they lie; hostile and damaged ones."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from fewstep.tasks import archive_members
from fewstep.tasks.archive_members import opened
from published_builders import tarred, write, zipped

FILES = {"b/two.txt": b"2" * 3000, "a/one.txt": b"1", "top.txt": b"0"}
JUNK = {"__MACOSX/b/._two.txt": b"mac", "b/.DS_Store": b"mac", "Thumbs.db": b"windows"}
PACKED = {
    "a.zip": zipped(FILES | JUNK),
    "a.tar": tarred(FILES | JUNK),
    "a.tgz": tarred({f"./{name}": data for name, data in (FILES | JUNK).items()}, "w:gz"),
    "a.tar.bz2": tarred(FILES, "w:bz2"),
}


def contents(source: Path) -> dict[str, bytes]:
    with opened(source) as members:
        return {member.path: member.read(3000) for member in members}


def refused(source: Path) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        contents(source)
    assert str(source) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", PACKED)
def test_files_are_read_from_an_archive_in_its_order_and_system_files_overlooked(name: str, tmp_path: Path):
    found = contents(write(tmp_path, {name: PACKED[name]}) / name)
    assert found == FILES
    assert list(found) == list(FILES)


def test_files_are_read_from_a_folder(tmp_path: Path):
    assert contents(write(tmp_path, FILES | JUNK)) == FILES


def test_a_file_larger_than_it_may_be_is_refused_before_it_is_unpacked(tmp_path: Path):
    bomb = write(tmp_path, {"bomb.zip": zipped({"zeros": bytes(10**7)})}) / "bomb.zip"
    assert bomb.stat().st_size < 20000
    assert "zeros has 10000000 bytes, expected 3000 or fewer; it is something else, or a decompression bomb" in refused(
        bomb
    )


def test_an_archive_that_lies_about_a_size_yields_no_more_than_it_says(tmp_path: Path):
    packed = zipped({"zeros": bytes(10**6)})
    lying = packed.replace((10**6).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    assert lying != packed
    assert "zeros is damaged" in refused(write(tmp_path, {"a.zip": lying}) / "a.zip")


@pytest.mark.parametrize("name", ["../escaped.txt", "/etc/escaped", "a/../../escaped", "C:/escaped"])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_path_that_leads_out_of_the_archive_is_refused_and_nothing_is_written(name: str, pack, tmp_path: Path):
    source = write(tmp_path / "in", {"a.archive": pack({"fine.txt": b"", name: b"x"})}) / "a.archive"
    assert "leads out of the archive; do not use this archive" in refused(source)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [source]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_link_or_device_in_a_tar_is_refused(kind: bytes, tmp_path: Path):
    info = tarfile.TarInfo("link")
    info.type, info.linkname = kind, "/etc/passwd"
    source = write(tmp_path, {"a.tar": tarred(FILES, extra=[info])}) / "a.tar"
    assert "'link' is a link or a device" in refused(source)


def test_a_link_in_a_zip_is_refused(tmp_path: Path):
    packed = zipped({"link": b"/etc/passwd"})
    mode = (0o600 << 16).to_bytes(4, "little")
    assert packed.count(mode) == 1
    source = write(tmp_path, {"a.zip": packed.replace(mode, (0o120777 << 16).to_bytes(4, "little"))}) / "a.zip"
    assert "'link' is a link or a device" in refused(source)


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_truncated_archive_is_refused(name: str, share: float, tmp_path: Path):
    data = PACKED[name]
    end = len(data) - 10240 if name == "a.tar" and share == 0.9 else int(share * len(data))
    message = refused(write(tmp_path, {name: data[:end]}) / name)
    assert "download it again" in message


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><title>Sign in</title>", "is an HTML page ('Sign in')"),
        (b"something else entirely", "is no archive: it begins with b'something else e'"),
    ],
)
def test_what_is_no_archive_is_described(data: bytes, said: str, tmp_path: Path):
    message = refused(write(tmp_path, {"a.zip": data}) / "a.zip")
    assert said in message
    assert "expected a folder, or a zip or tar archive" in message


def test_what_does_not_exist_is_an_error(tmp_path: Path):
    assert "does not exist" in refused(tmp_path / "nowhere.zip")


def test_a_member_that_does_not_match_its_checksum_is_named(tmp_path: Path):
    packed = bytearray(zipped({"a.txt": bytes(range(256))}))
    packed[60] ^= 0xFF
    assert "a.txt is damaged" in refused(write(tmp_path, {"a.zip": bytes(packed)}) / "a.zip")


def test_a_tar_that_unpacks_to_much_more_than_it_is_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_members, "ROOM_BYTES", 1 << 10)
    (tmp_path / "bomb.tgz").write_bytes(tarred({"zeros": bytes(1 << 20)}, "w:gz"))
    with (
        pytest.raises(ValueError, match=r"bomb\.tgz unpacks to 1048576 bytes or more in 1 files.*a decompression bomb"),
        opened(tmp_path / "bomb.tgz"),
    ):
        pass


def test_a_tar_whose_headers_are_a_bomb_is_refused_before_they_are_read(tmp_path):
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    (tmp_path / "bomb.tar").write_bytes(tarfile.TarInfo("a").tobuf() + info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 14))
    with pytest.raises(ValueError, match="a header of 1099511627776 bytes"), opened(tmp_path / "bomb.tar"):
        pass


def test_a_sparse_member_whose_bytes_are_not_there_is_refused(tmp_path):
    info = tarfile.TarInfo("sparse")
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf())
    header[386:398], header[398:410] = b"00000000000\0", b"00000000000\0"
    header[483:495] = b"77777777777\0"  # 8 GiB, of which nothing is there
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header[:512])
    (tmp_path / "sparse.tar").write_bytes(bytes(header) + bytes(1 << 14))
    with pytest.raises(ValueError, match="is a link or a device"), opened(tmp_path / "sparse.tar"):
        pass


def test_a_member_whose_lzma_is_damaged_is_an_error_by_its_name(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.txt", b"text" * 100)
    data = bytearray(stream.getvalue())
    data[39] = 0xFF  # settings that LZMA does not know
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.txt is damaged"), opened(tmp_path / "a.zip") as members:
        members[0].read(1000)
