import os
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from fewstep.tasks import omniglot_archives
from fewstep.tasks.omniglot import Omniglot
from fewstep.tasks.protocols import PROTOCOLS, ClassLists, ProtocolName, TurnedClass

PUBLISHED = {  # characters of each alphabet (Lake, Salakhutdinov, Tenenbaum 2015)
    "background": {
        "Alphabet_of_the_Magi": 20,
        "Anglo-Saxon_Futhorc": 29,
        "Arcadian": 26,
        "Armenian": 41,
        "Asomtavruli_(Georgian)": 40,
        "Balinese": 24,
        "Bengali": 46,
        "Blackfoot_(Canadian_Aboriginal_Syllabics)": 14,
        "Braille": 26,
        "Burmese_(Myanmar)": 34,
        "Cyrillic": 33,
        "Early_Aramaic": 22,
        "Futurama": 26,
        "Grantha": 43,
        "Greek": 24,
        "Gujarati": 48,
        "Hebrew": 22,
        "Inuktitut_(Canadian_Aboriginal_Syllabics)": 16,
        "Japanese_(hiragana)": 52,
        "Japanese_(katakana)": 47,
        "Korean": 40,
        "Latin": 26,
        "Malay_(Jawi_-_Arabic)": 40,
        "Mkhedruli_(Georgian)": 41,
        "N_Ko": 33,
        "Ojibwe_(Canadian_Aboriginal_Syllabics)": 14,
        "Sanskrit": 42,
        "Syriac_(Estrangelo)": 23,
        "Tagalog": 17,
        "Tifinagh": 55,
    },
    "evaluation": {
        "Angelic": 20,
        "Atemayar_Qelisayer": 26,
        "Atlantean": 26,
        "Aurek-Besh": 26,
        "Avesta": 26,
        "Ge_ez": 26,
        "Glagolitic": 45,
        "Gurmukhi": 45,
        "Kannada": 41,
        "Keble": 26,
        "Malayalam": 47,
        "Manipuri": 40,
        "Mongolian": 30,
        "Old_Church_Slavonic_(Cyrillic)": 45,
        "Oriya": 46,
        "Sylheti": 28,
        "Syriac_(Serto)": 23,
        "Tengwar": 25,
        "Tibetan": 42,
        "ULOG": 26,
    },
}
NAMES = [
    f"{part}/{alphabet}/character{i:02d}"
    for part, alphabets in PUBLISHED.items()
    for alphabet, characters in alphabets.items()
    for i in range(1, characters + 1)
]
CHARACTERS = {  # of train, val and test, whatever their rotation
    "lake": (964, 0, 659),
    "vinyals": (1028, 172, 423),
    "finn": (1100, 100, 423),
    "mamlpp": (1150, 50, 423),
    "reptile": (1200, 0, 423),
    "course": (964, None, 659),  # val has 656 turned characters; how many upright ones those are is chance
}
CLASSES = {  # a rotation that is a class counts
    "lake": (964, 0, 659),
    "vinyals": (4 * 1028, 4 * 172, 4 * 423),
    "finn": (1100, 100, 423),  # rotations are drawn with each task
    "mamlpp": (4 * 1150, 50, 423),
    "reptile": (4 * 1200, 0, 423),
    "course": (3200, 656, 2636),
}
INVERTED = {"finn"}


def split(protocol: str, names: Sequence[str] = NAMES) -> ClassLists:
    return PROTOCOLS[protocol].split(names)


def upright(classes: Sequence[TurnedClass]) -> set[str]:
    return {c.name for c in classes}


def alphabets(classes: Sequence[TurnedClass]) -> set[str]:
    return {c.name.split("/")[1] for c in classes}


def real_names(root: Path) -> list[str]:
    """The characters of both archives, read from their directories alone."""
    names = []
    for part in PUBLISHED:
        with zipfile.ZipFile(root / "omniglot" / f"images_{part}.zip") as archive:
            folders = {tuple(name.split("/")[1:3]) for name in archive.namelist() if name.endswith(".png")}
        names += [f"{part}/{alphabet}/{character}" for alphabet, character in sorted(folders)]
    return names


@pytest.mark.omniglot
def test_the_names_that_these_tests_run_on_are_the_real_ones(real_data):
    assert len(NAMES) == 1623
    assert real_names(real_data) == NAMES


@pytest.mark.omniglot
@pytest.mark.parametrize("protocol", get_args(ProtocolName))
def test_splits_of_the_real_data_are_those_of_the_names(protocol, real_data):
    splits = Omniglot(protocol=protocol).build(real_data)
    assert splits.summary["hash"] == split(protocol).digest()
    assert list(splits.summary["classes"].values()) == list(CLASSES[protocol])


@pytest.mark.parametrize("protocol", get_args(ProtocolName))
def test_a_protocol_has_as_many_classes_as_published(protocol):
    assert tuple(len(classes) for classes in split(protocol)) == CLASSES[protocol]


@pytest.mark.parametrize("protocol", get_args(ProtocolName))
def test_a_protocol_has_as_many_characters_as_published(protocol):
    for classes, characters in zip(split(protocol), CHARACTERS[protocol], strict=True):
        assert characters in (None, len(upright(classes)))


@pytest.mark.parametrize("protocol", get_args(ProtocolName))
def test_no_class_is_in_a_split_twice_or_in_two_splits(protocol):
    everything = [c for classes in split(protocol) for c in classes]
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("protocol", get_args(ProtocolName))
def test_rotations_of_a_character_straddle_no_two_splits_but_train_and_val_of_the_course(protocol):
    lists = split(protocol)
    train, val, test = (upright(classes) for classes in lists)
    assert not test & (train | val)
    assert bool(train & val) == (protocol == "course")
    assert lists.shared() == ({"train/val": len(train & val)} if protocol == "course" else {})
    assert bool(PROTOCOLS[protocol].overlap) == (protocol == "course")


@pytest.mark.parametrize("protocol", get_args(ProtocolName))
def test_every_character_is_in_some_split(protocol):
    assert set().union(*(upright(classes) for classes in split(protocol))) == set(NAMES)


@pytest.mark.parametrize("protocol", get_args(ProtocolName))
def test_rotations_are_classes_where_the_protocol_says_so(protocol):
    for classes, turned in zip(split(protocol), CLASSES[protocol], strict=True):
        turns = {c.quarter_turns for c in classes}
        assert turns <= {0} if turned == len(upright(classes)) else turns == {0, 1, 2, 3}


@pytest.mark.parametrize("protocol", get_args(ProtocolName))
def test_a_split_is_the_same_at_every_call(protocol):
    assert split(protocol) == split(protocol)
    assert split(protocol).digest() == split(protocol).digest()


def test_hashes_differ_between_protocols():
    assert len({split(protocol).digest() for protocol in PROTOCOLS}) == len(PROTOCOLS) == 6


def test_a_hash_changes_with_any_class():
    lists = split("vinyals")
    moved = lists._replace(train=lists.train[:-1], val=[*lists.val, lists.train[-1]])
    turned = lists._replace(test=[lists.test[0]._replace(quarter_turns=2), *lists.test[1:]])
    assert len({lists.digest(), moved.digest(), turned.digest()}) == 3


def test_lake_trains_and_tests_on_different_alphabets():
    lists = split("lake")
    assert alphabets(lists.train) == set(PUBLISHED["background"])
    assert alphabets(lists.test) == set(PUBLISHED["evaluation"])


def test_vinyals_cuts_gurmukhi_after_its_41st_character():
    lists = split("vinyals")
    train, val, test = (
        sorted(name for name in upright(classes) if "Gurmukhi" in name)
        for classes in (lists.train, lists.val, lists.test)
    )
    assert (len(train), len(val), len(test)) == (41, 0, 4)
    assert test == [f"evaluation/Gurmukhi/character{i}" for i in (42, 43, 44, 45)]
    assert alphabets(lists.train) & alphabets(lists.test) == {"Gurmukhi"}


def test_vinyals_validates_on_five_whole_alphabets():
    lists = split("vinyals")
    expected = {"Armenian", "Bengali", "Early_Aramaic", "Hebrew", "Mkhedruli_(Georgian)"}
    assert alphabets(lists.val) == expected
    assert len(upright(lists.val)) == sum(PUBLISHED["background"][alphabet] for alphabet in expected)


@pytest.mark.parametrize("protocol", ["finn", "mamlpp", "reptile"])
def test_shuffled_protocols_mix_both_archives_in_every_split(protocol):
    for classes in split(protocol):
        parts = {c.name.split("/")[0] for c in classes}
        assert not classes or parts == {"background", "evaluation"}


def test_the_course_straddles_nearly_every_character_that_validates():
    lists = split("course")
    val = upright(lists.val)
    # of a character with a rotation in val, all four are there with probability (656/3856)³: about three of 490
    assert len(val & upright(lists.train)) > 0.97 * len(val)
    assert {c.quarter_turns for c in lists.train} == {c.quarter_turns for c in lists.val} == {0, 1, 2, 3}


@pytest.mark.omniglot
@pytest.mark.parametrize(("protocol", "queries"), [("vinyals", 15), ("finn", 2), ("course", 1)])
def test_real_tasks_have_the_protocols_own_number_of_queries(protocol, queries, real_data):
    splits = Omniglot(protocol=protocol, ways=5, shots=2).build(real_data)
    for tasks in splits[:3]:
        task = tasks.sample(0, tasks.split, 0, 3)
        assert task.support.x.shape == (3, 10, 1, 28, 28)
        assert task.query.x.shape == (3, 5 * queries, 1, 28, 28)


@pytest.mark.omniglot
@pytest.mark.parametrize("protocol", get_args(ProtocolName))
def test_real_ink_is_bright_where_the_protocol_inverts_and_dark_elsewhere(protocol, real_data):
    x = Omniglot(protocol=protocol).build(real_data).train.sample(0, "train", 0, 16).support.x
    paper = 0.0 if protocol in INVERTED else 1.0
    assert x.median() == paper
    assert 0.04 < (x - paper).abs().mean() < 0.14  # Omniglot at 28 × 28 has 8.1 % ink


@pytest.mark.omniglot
def test_lanczos_gives_greys_and_nearest_none(real_data):
    nearest, lanczos = (
        Omniglot(protocol=protocol).build(real_data).test.sample(0, "test", 0, 4).support.x.unique()
        for protocol in ("finn", "lake")
    )
    assert nearest.tolist() == [0, 1]
    assert len(lanczos) > 100


@pytest.mark.omniglot
def test_one_character_looks_like_its_twenty_drawings_turned(real_data):
    tasks = Omniglot(protocol="vinyals").build(real_data).train
    sides = [c for c in tasks.classes if c.name == "background/Greek/character01"]
    assert [c.quarter_turns for c in sides] == [0, 1, 2, 3]
    assert len({(c.start, c.size) for c in sides}) == 1
    assert sides[0].size == 20
    assert sides[0].start == 20 * NAMES.index("background/Greek/character01")


@pytest.mark.omniglot
def test_the_second_opening_reads_the_cache_and_takes_well_under_a_second(real_data, monkeypatch):
    first = Omniglot(protocol="lake").build(real_data)
    monkeypatch.setattr(omniglot_archives, "read", pytest.fail)
    began = time.process_time()
    second = Omniglot(protocol="lake").build(real_data)
    assert time.process_time() - began < 1  # decoding takes 8 s
    assert isinstance(second.train.images.base, np.memmap)
    assert np.array_equal(second.train.images, first.train.images)
    assert list(Path(os.environ["FEWSTEP_CACHE"]).glob("omniglot-*.npy"))


@pytest.mark.omniglot
def test_more_ways_than_a_split_has_characters_is_an_error(real_data):
    with pytest.raises(ValueError, match="ways=51 but split 'val' has 50 classes"):
        Omniglot(protocol="mamlpp", ways=51).build(real_data)


@pytest.mark.omniglot
def test_no_query_is_an_error_and_not_the_number_of_the_protocol(real_data):
    with pytest.raises(ValueError, match=r"queries ≥ 1, got ways=5, shots=1, queries=0"):
        Omniglot(protocol="lake", queries=0).build(real_data)
    assert Omniglot(protocol="lake", queries=2).build(real_data).test.queries == 2
