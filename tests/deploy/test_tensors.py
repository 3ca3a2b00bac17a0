import numpy as np
import pytest
from pydantic import ValidationError

from burnish.deploy.preprocess import preprocess
from burnish.deploy.service.tensors import (
    InferRequest,
    InputTensor,
    metadata,
    output_tensors,
    read_tensor,
    wanted_outputs,
)
from burnish.errors import DataError
from burnish.spec import ImageSpec, TextSpec

SPEC = ImageSpec(3, 4, 5, ("cat", "dog"), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
PICTURES = preprocess(SPEC)
SENTENCES = preprocess(TextSpec(("bad", "good"), "char", ("<pad>", "<unk>", "a"), 8))
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5), dtype=np.uint8)


def tensor(**changes) -> InputTensor:
    given = {"name": "images", "shape": [2, 3, 4, 5], "datatype": "UINT8", "data": PIXELS.tolist()}
    return InputTensor.model_validate({**given, **changes})


@pytest.mark.parametrize("data", [PIXELS.tolist(), PIXELS.ravel().tolist()], ids=["nested", "flat"])
def test_pixels_nested_and_flat(data):
    items = read_tensor(tensor(data=data), PICTURES, most=4)
    assert all(item.dtype == np.uint8 for item in items)
    np.testing.assert_array_equal(items, PIXELS)


def test_normalised_images_reach_the_net_as_they_were():
    x_NCHW = np.random.default_rng(1).normal(size=(2, 3, 4, 5)).astype(np.float32)
    items = read_tensor(tensor(datatype="FP32", data=x_NCHW.tolist()), PICTURES, most=4)
    np.testing.assert_allclose(PICTURES.batch(items), x_NCHW, atol=1e-6)
    # And beside pixels of another request, in one batch.
    both = PICTURES.batch([PIXELS[0], items[1]])
    np.testing.assert_array_equal(both[0], PICTURES.batch([PIXELS[0]])[0])
    np.testing.assert_allclose(both[1], x_NCHW[1], atol=1e-6)


def test_texts():
    given = tensor(name="texts", shape=[2], datatype="BYTES", data=["a", "好"])
    assert read_tensor(given, SENTENCES, most=2) == ["a", "好"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "input0"}, "input is images, found input0"),
        ({"shape": [2, 3, 5, 4]}, r"must be \[N, 3, 4, 5\], found \[2, 3, 5, 4\]"),
        ({"shape": []}, "begin with 1 to 4 items"),
        ({"shape": [0, 3, 4, 5], "data": []}, "begin with 1 to 4 items"),
        ({"shape": [5, 3, 4, 5]}, "begin with 1 to 4 items"),
        ({"shape": [-1, 3, 4, 5]}, "begin with 1 to 4 items"),
        ({"datatype": "INT64"}, "UINT8 or FP32, found INT64"),
        ({"data": [1] * 119}, r"must have 120 numbers.*found \[119\]"),
        ({"data": [[1], [1, 2]]}, "flat or nested"),
        ({"data": ["1"] * 120}, "numbers of the datatype UINT8"),
        ({"data": [True] * 120}, "numbers of the datatype UINT8"),
        ({"data": [0.5] * 120}, "numbers of the datatype UINT8"),
        ({"data": [10**30] * 120}, "numbers of the datatype UINT8"),
        ({"data": [True, *[1] * 119]}, "numbers of the datatype UINT8"),
        ({"data": ["a" * 10**6, *["b"] * 10**6]}, "numbers of the datatype UINT8"),  # 4 TB
        ({"data": [None] * 120}, "numbers of the datatype UINT8"),
        ({"data": [256] * 120}, "0 to 255"),
        ({"data": [-1] * 120}, "0 to 255"),
        ({"data": [float("nan")] * 120, "datatype": "FP32"}, "finite"),
        ({"data": [1e300] * 120, "datatype": "FP32"}, "finite"),
        ({"parameters": {"binary_data_size": 120}, "data": []}, "binary tensor data"),
    ],
)
def test_a_wrong_image_tensor_is_refused_in_words(changes, words):
    with pytest.raises(DataError, match=words):
        read_tensor(tensor(**changes), PICTURES, most=4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"datatype": "UINT8"}, "must be BYTES"),
        ({"shape": [1]}, r"must be \[2\]"),
        ({"shape": [2, 1]}, r"must be \[2\]"),
        ({"data": ["a", 1]}, "must be strings"),
    ],
)
def test_a_wrong_text_tensor_is_refused_in_words(changes, words):
    given = {"name": "texts", "shape": [2], "datatype": "BYTES", "data": ["a", "b"], **changes}
    with pytest.raises(DataError, match=words):
        read_tensor(tensor(**given), SENTENCES, most=4)


def test_a_shape_is_of_whole_numbers():
    with pytest.raises(ValidationError):
        tensor(shape=[2.0, 3, 4, 5])


def test_metadata_as_the_protocol_has_it():
    assert metadata(PICTURES) == (
        [{"name": "images", "datatype": "UINT8", "shape": [-1, 3, 4, 5]}],
        [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "class", "datatype": "BYTES", "shape": [-1]},
        ],
    )
    assert metadata(SENTENCES)[0] == [{"name": "texts", "datatype": "BYTES", "shape": [-1]}]


def test_outputs_are_chosen_and_written_flat():
    request = InferRequest(inputs=[tensor()], outputs=[{"name": "class"}])
    assert wanted_outputs(request) == ["class"]
    assert wanted_outputs(InferRequest(inputs=[tensor()])) == ["probabilities", "class"]
    with pytest.raises(DataError, match="there is no logits"):
        wanted_outputs(InferRequest(inputs=[tensor()], outputs=[{"name": "logits"}]))
    rows = [np.float32([0.25, 0.75]), np.float32([1, 0])]
    assert output_tensors(rows, SPEC, ["class", "probabilities"]) == [
        {"name": "class", "datatype": "BYTES", "shape": [2], "data": ["dog", "cat"]},
        {"name": "probabilities", "datatype": "FP32", "shape": [2, 2], "data": [0.25, 0.75, 1, 0]},
    ]
