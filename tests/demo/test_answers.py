"""What the demo takes for a right answer."""

from __future__ import annotations

import numpy as np
import pytest

from demo.answers import difference, outputs, question, wrong
from protos import grpc_predict_v2_pb2 as v2

LABELS = np.array([2], dtype=np.int64)
SHARES = np.array([[0.25, 0.5, 0.25]])


def response(labels: np.ndarray, shares: np.ndarray) -> v2.ModelInferResponse:
    answer = v2.ModelInferResponse(raw_output_contents=[labels.tobytes(), shares.astype("<f4").tobytes()])
    answer.outputs.add(name="label", datatype="INT64", shape=labels.shape)
    answer.outputs.add(name="probabilities", datatype="FP32", shape=shares.shape)
    return answer


EXPECTED = {"label": LABELS, "probabilities": SHARES}


def test_the_same_labels_and_as_good_as_the_same_numbers_are_right() -> None:
    assert wrong(response(LABELS, SHARES + 9e-5), EXPECTED) == ""


@pytest.mark.parametrize(
    ("labels", "shares", "said"),
    [
        (LABELS + 1, SHARES, "label is [3] and not [2]"),
        (LABELS, SHARES + 2e-4, "probabilities is off by 0.0002"),
        (LABELS, SHARES * np.nan, "probabilities is off by nan"),
        (LABELS, SHARES[:, :2], "probabilities has the shape (1, 2) and not (1, 3)"),
    ],
)
def test_anything_else_is_wrong(labels: np.ndarray, shares: np.ndarray, said: str) -> None:
    assert wrong(response(labels, shares), EXPECTED) == said


def test_an_output_too_many_is_wrong() -> None:
    assert wrong(response(LABELS, SHARES), {"label": LABELS}) == "outputs are label, probabilities and not label"


def test_an_answer_that_cannot_be_read_is_wrong() -> None:
    answer = response(LABELS, SHARES)
    answer.outputs[0].datatype = "BYTES"
    assert wrong(answer, EXPECTED) == "output label is BYTES"
    del answer.outputs[:]
    assert "zip()" in wrong(answer, EXPECTED)


def test_a_question_carries_its_rows_as_float32() -> None:
    asked = question(np.array([[1.5, 2.5]]))
    assert (asked.inputs[0].datatype, list(asked.inputs[0].shape)) == ("FP32", [1, 2])
    assert np.frombuffer(asked.raw_input_contents[0], "<f4").tolist() == [1.5, 2.5]


def test_arrays_come_out_as_they_went_in() -> None:
    assert difference(outputs(response(LABELS, SHARES)), EXPECTED) == ""
