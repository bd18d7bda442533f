"""Images to predict go through what the images of training went through."""

import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from fewstep.tasks.images import ImageFolder
from fewstep.tasks.omniglot import Omniglot
from fewstep.tasks.preprocessing import Preprocessing


def test_a_grey_ramp_becomes_its_values_over_255_and_inverted_one_minus_them(tmp_path):
    ramp = np.arange(16, dtype=np.uint8).reshape(4, 4) * 17
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    expected = torch.arange(16).reshape(1, 1, 4, 4) / 15
    settings = {"size": 4, "color": "L"}
    torch.testing.assert_close(Preprocessing(**settings).read([tmp_path / "ramp.png"]), expected)
    torch.testing.assert_close(Preprocessing(**settings, inverted=True).read([tmp_path / "ramp.png"]), 1 - expected)


def test_colour_has_three_channels_first(tmp_path):
    Image.new("RGB", (10, 6), (255, 0, 51)).save(tmp_path / "flat.png")
    read = Preprocessing(size=3, color="RGB").read([tmp_path / "flat.png"] * 2)
    assert read.shape == (2, 3, 3, 3)
    torch.testing.assert_close(read[1, :, 0, 0], torch.tensor([1.0, 0.0, 0.2]))


def test_a_file_that_is_not_there_is_said_to_be_missing_and_not_damaged(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*gone\.png"):
        Preprocessing(size=4, color="L").read([tmp_path / "gone.png"])


def test_a_folder_of_images_and_single_files_are_read_alike(tmp_path):
    for i, name in enumerate(("train/a", "train/b", "test/c", "test/d")):
        (tmp_path / name).mkdir(parents=True)
        for j in range(3):
            noise = np.random.default_rng([i, j]).integers(0, 256, (9, 13, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / name / f"{j}.png")
    spec = ImageFolder(folder=str(tmp_path), ways=2, queries=2, size=8, color="L")
    splits = spec.build()
    task = splits.test.sample(0, "test", 0, 1).select(0)
    alone = spec.preprocessing.read(sorted(tmp_path.glob("test/*/*.png")))
    seen = torch.cat([task.support.x, task.query.x])
    assert {tuple(x.flatten().tolist()) for x in seen} == {tuple(x.flatten().tolist()) for x in alone}
    assert splits.preprocessing == spec.preprocessing


@pytest.mark.omniglot
@pytest.mark.parametrize("protocol", ["vinyals", "finn"])
def test_a_drawing_of_omniglot_read_as_a_file_equals_the_one_of_the_protocols_tasks(protocol, real_data, tmp_path):
    spec = Omniglot(protocol=protocol, ways=5, queries=1)
    tasks = spec.build(real_data).test
    upright = next(c for c in tasks.classes if c.quarter_turns == 0 and c.name.startswith("evaluation/"))
    with zipfile.ZipFile(real_data / "omniglot" / "images_evaluation.zip") as archive:
        inside = f"images_{upright.name}/"
        files = sorted(name for name in archive.namelist() if name.startswith(inside) and name.endswith(".png"))
        (tmp_path / "drawing.png").write_bytes(archive.read(files[0]))
    expected = torch.from_numpy(tasks.images[upright.start].astype(np.float32)) / 255
    assert torch.equal(
        spec.preprocessing.read([tmp_path / "drawing.png"])[0], 1 - expected if tasks.inverted else expected
    )


def test_an_image_of_more_pixels_than_fit_is_refused_by_its_size_before_any_is_decoded(tmp_path):
    """A monster of a few kilobytes: 8193 × 8192 pixels of one colour."""
    Image.new("1", (8193, 8192)).save(tmp_path / "monster.png")
    with pytest.raises(ValueError, match=r"monster\.png does not decode.*8193×8192 pixels, expected 67108864 or fewer"):
        Preprocessing(size=8, color="L").decode(tmp_path / "monster.png")


def test_what_is_in_a_file_counts_and_postscript_is_not_looked_at(tmp_path):
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""
    (tmp_path / "a.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
    )
    with pytest.raises(ValueError, match=r"a\.png does not decode as an image \(it is none of PNG, JPEG"):
        Preprocessing(size=8, color="L").decode(tmp_path / "a.png")


def test_errors_of_decoders_that_are_no_oserrors_name_the_file_too(tmp_path):
    Image.new("L", (9, 9)).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[16:20] = (0).to_bytes(4, "big")  # a width of 0, which its checksum denies
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.png does not decode as an image"):
        Preprocessing(size=8, color="L").decode(tmp_path / "a.png")
