import numpy as np
import pytest
import torch

from fewstep.seeding import numpy_generator, seeded, torch_seed


def draws(*where: int | str) -> list[float]:
    return numpy_generator(*where).random(4).tolist()


def test_the_same_seed_stream_and_step_give_the_same_numbers():
    assert draws(3, "train", 7) == draws(3, "train", 7)


@pytest.mark.parametrize("where", [(4, "train", 7), (3, "val", 7), (3, "train", 8), (7, "train", 3)])
def test_another_seed_stream_or_step_gives_other_numbers(where):
    assert draws(*where) != draws(3, "train", 7)


def test_the_numbers_are_those_of_numpys_philox_seeded_with_seed_crc_and_step():
    crc_of_123456789 = 0xCBF43926  # the check value of CRC-32 in every catalogue of CRCs
    sequence = np.random.SeedSequence([5, crc_of_123456789, 2])
    expected = np.random.Generator(np.random.Philox(sequence)).random(4).tolist()
    assert draws(5, "123456789", 2) == expected


def test_streams_do_not_correlate():
    normal = np.stack([numpy_generator(0, f"stream{i}").standard_normal(10_000) for i in range(8)])
    between = np.corrcoef(normal)[np.triu_indices(8, 1)]
    assert abs(between).max() < 0.05  # five standard deviations, 1 / √10000 each


def test_consecutive_steps_do_not_correlate():
    first = np.array([numpy_generator(0, "train", step).standard_normal() for step in range(4000)])
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.08  # five standard deviations, 1 / √4000 each


def test_a_torch_seed_fits_into_the_32_bits_that_torch_reads():
    seeds = [torch_seed(seed, "init", step) for seed in range(20) for step in range(20)]
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert len(set(seeds)) == len(seeds)
    assert max(seeds) > 2**31  # all of the 32 bits are used


def test_torch_ignores_what_is_above_32_bits_of_a_seed():
    low, high = (torch.rand(4, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1 + 2**32))
    assert torch.equal(low, high)  # why torch_seed has 32 bits; if torch changes, this says so


def test_seeded_draws_the_same_inside_and_leaves_the_global_generator_as_it_was():
    before = torch.get_rng_state()
    with seeded(0, "net"):
        first = torch.rand(4)
    with seeded(0, "net"):
        second = torch.rand(4)
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


def test_seeded_restores_the_global_generator_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), seeded(0, "net"):
        torch.rand(4).tolist()[0] / 0
    assert torch.equal(torch.get_rng_state(), before)
