"""What a run answers: derived from probabilities, written once, read as far as it is asked for."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from bench.disk import read_members
from bench.errors import BenchError
from bench.predictions import DETAILS, NotKept, Predictions, pack, unpack, unpack_old


@st.composite
def softmaxed(draw: st.DrawFn, classes: int | None = None) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Probabilities as float32 and true classes; logits of a few steps, so that many tie."""
    k = classes or draw(st.integers(2, 8))
    n = draw(st.integers(1, 40))
    steps = draw(st.sampled_from([2, 5, 1000]))
    logits = draw(
        arrays.arrays(np.float64, (n, k), elements=st.integers(0, steps).map(lambda i: 6 * i / steps))
    )
    labels = draw(arrays.arrays(np.int64, n, elements=st.integers(0, k - 1)))
    p = np.exp(logits)
    return (p / p.sum(axis=1, keepdims=True)).astype(np.float32), labels


@given(softmaxed())
def test_a_prediction_is_right_exactly_where_the_true_class_has_rank_0(
    case: tuple[NDArray[np.float32], NDArray[np.int64]],
) -> None:
    p, labels = case
    made = Predictions.from_probabilities(p, labels)
    assert np.array_equal(made.rank == 0, made.predicted == labels)
    for row, label, rank in zip(p, labels, made.rank, strict=True):
        # A stable sort, most probable first, is the convention written another way.
        assert np.argsort(-row, kind="stable").tolist().index(label) == rank


@given(softmaxed())
def test_details_are_what_their_definitions_say(case: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    p, labels = case
    made, wide = Predictions.from_probabilities(p, labels), p.astype(np.float64)
    for n, label in enumerate(labels):
        assert made.nll[n] == pytest.approx(-np.log(wide[n, label]), abs=1e-12)
        assert made.brier[n] == pytest.approx(((wide[n] - np.eye(p.shape[1])[label]) ** 2).sum(), abs=1e-12)
        assert made.confidence[n] == wide[n].max() == wide[n, made.predicted[n]]
    assert made.classes == p.shape[1]


@given(softmaxed(), st.booleans())
def test_what_is_written_is_read_and_by_numpy_too(
    case: tuple[NDArray[np.float32], NDArray[np.int64]], probabilities: bool
) -> None:
    made = Predictions.from_probabilities(*case)
    if not probabilities:
        kept = {name: value for name, value in made.details.items() if name != "probabilities"}
        made = Predictions(made.predicted, made.labels, kept)
    packed = pack(made)
    assert pack(made) == packed
    end = packed.predictions_bytes
    read = unpack(packed.content[:end], lambda: read_members(packed.content[end:]))
    with np.load(io.BytesIO(packed.content), allow_pickle=False) as archive:
        by_numpy = dict(archive)
    assert [*by_numpy][:3] == ["predicted", "labels", "classes"]
    assert read.predicted.dtype == read.labels.dtype == np.uint8
    assert read.classes == made.classes
    for name in ("predicted", "labels", *DETAILS):
        if name == "probabilities" and not probabilities:
            assert name not in by_numpy
            continue
        found, kept_as = read.details[name] if name in DETAILS else getattr(read, name), by_numpy[name]
        assert np.array_equal(getattr(read, name), found)
        assert found.dtype == kept_as.dtype
        assert np.array_equal(found, kept_as)
        assert np.array_equal(found, getattr(made, name).astype(found.dtype))
        assert found.flags.aligned
        assert not found.flags.writeable


def test_sixteen_bytes_an_image_and_four_more_a_class() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(3), 10_000)
    labels = np.arange(10_000) % 3
    whole = Predictions.from_probabilities(p, labels)
    kept = {name: value for name, value in whole.details.items() if name != "probabilities"}
    assert 16 * 10_000 < len(pack(Predictions(whole.predicted, labels, kept)).content) < 16 * 10_000 + 2_500
    assert 28 * 10_000 < len(pack(whole).content) < 28 * 10_000 + 2_500


def test_a_thousand_classes_take_two_bytes() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(1000), 50)
    made = Predictions.from_probabilities(p, np.full(50, 999))
    packed = pack(made)
    read = unpack(packed.content[: packed.predictions_bytes], dict)
    assert read.predicted.dtype == np.uint16
    assert np.array_equal(read.predicted, made.predicted)
    assert set(read.labels.tolist()) == {999}


def test_what_nobody_asks_for_is_not_read() -> None:
    asked: list[str] = []

    def read_details() -> dict[str, NDArray[np.float32]]:
        asked.append("read")
        return {"nll": np.zeros(1, dtype=np.float32)}

    packed = pack(Predictions.from_probabilities([[0.5, 0.5]], [1]))
    read = unpack(packed.content[: packed.predictions_bytes], read_details)
    assert (read.predicted[0], read.labels[0], asked) == (0, 1, [])
    assert read.nll.tolist() == read.nll.tolist() == [0.0]
    assert asked == ["read"]


def test_what_was_not_kept_is_named_with_the_reason() -> None:
    old = unpack_old(_npy(np.array([[0, 1], [0, 0]], dtype=np.uint8)))
    assert old.classes is None
    for name, words in DETAILS.items():
        with pytest.raises(NotKept, match=f"^{words} of each image was not kept: the "):
            getattr(old, name)
    with pytest.raises(NotKept, match="keep_probabilities: true"):
        old.probabilities  # noqa: B018
    with pytest.raises(NotKept, match="from before it was recorded"):
        old.nll  # noqa: B018


@pytest.mark.parametrize(
    ("probabilities", "labels", "complaint"),
    [
        ([0.5, 0.5], [0], r"shape \(2,\)"),
        ([[0.5, 0.5]], [0, 1], r"labels of shape \(2,\)"),
        ([[0.5, 0.5]], [2], "from 0 to 1"),
        ([[0.5, 0.5]], [-1], "from 0 to 1"),
        ([[0.5, 0.5]], [0.0], "whole numbers"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    probabilities: list[object], labels: list[object], complaint: str
) -> None:
    with pytest.raises(BenchError, match=complaint):
        Predictions.from_probabilities(probabilities, labels)


# ------------------------------------------------------------------------------------------ reading fast


@settings(max_examples=30)
@given(
    st.lists(
        arrays.arrays(
            st.sampled_from([np.uint8, np.float32, np.int64, np.bool_]),
            arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        ),
        max_size=4,
    )
)
def test_members_are_read_as_np_savez_writes_them(written: list[NDArray[np.generic]]) -> None:
    file = io.BytesIO()
    np.savez(file, *written)
    read = read_members(file.getvalue())
    assert [*read] == [f"arr_{number}" for number in range(len(written))]
    for found, expected in zip(read.values(), written, strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_fortran_order_is_read_as_it_is_meant() -> None:
    written = np.asfortranarray(np.arange(6).reshape(2, 3))
    file = io.BytesIO()
    np.savez(file, written)
    np.testing.assert_array_equal(read_members(file.getvalue())["arr_0"], written)


def test_every_beginning_of_a_file_is_read_short_or_refused() -> None:
    content = pack(Predictions.from_probabilities([[0.25, 0.75]], [1])).content
    whole, refused = read_members(content), 0
    for size in range(len(content)):
        try:
            read = read_members(content[:size])
        except ValueError:
            refused += 1
        else:
            assert [*read] == [*whole][: len(read)]
    assert refused > 100 * len(whole)  # within each of its headers, at least


@pytest.mark.parametrize("start", [b"", b"no zip", b"\x93NUMPY", b"PK\x03\x04"])
def test_what_is_no_file_of_predictions_is_refused(start: bytes) -> None:
    with pytest.raises(ValueError, match=r"begins with something else|ends too early"):
        unpack(start, dict)


def test_compressed_files_and_objects_are_refused() -> None:
    file = io.BytesIO()
    np.savez_compressed(file, np.zeros(1000))
    with pytest.raises(ValueError, match="compressed"):
        read_members(file.getvalue())
    with pytest.raises(ValueError, match="dtype"):
        unpack_old(_npy(np.zeros((2, 3), dtype=np.uint8)).replace(b"|u1", b"|O1"))


def _npy(array: NDArray[np.generic]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
