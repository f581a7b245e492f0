from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from PIL import Image

from tests.sensors import CAMERA, MICROPHONE, change_camera, draw_pixels, normalize
from toolchain.agent.measure.preprocess.picture import prepare_picture
from toolchain.agent.measure.targets import Ragged
from toolchain.data.dataset import Dataset, ImageSamples
from toolchain.data.file_samples import FileSamples
from toolchain.data.framing import PictureOptions, make_framing
from toolchain.data.npz import ArraySamples
from toolchain.data.sensor import sense_dataset
from toolchain.errors import ExitCode, ToolchainError

PIXELS = draw_pixels()


def make_dataset(samples):
    return Dataset(name="made", train=None, calibration=samples, evaluation=samples, classes=None, licence=None)


def make_arrays(**arrays):
    return make_dataset(ArraySamples(arrays=arrays, targets={}, sha256="made"))


def sense(data, spec=CAMERA):
    return sense_dataset(data, spec, array="input", where="here")


def refuse(data, spec=CAMERA):
    with pytest.raises(ToolchainError) as caught:
        sense(data, spec).sensor.evaluation.batch(0, 2)
    assert caught.value.code == ExitCode.USAGE
    return caught.value


PICTURES = make_dataset(ImageSamples(images=PIXELS, targets={}, sha256="made", transform=normalize))


def test_pictures_come_as_the_camera_gives_them_and_as_the_data_set_prepares_them():
    sensed = sense(PICTURES)
    assert (sensed.sensor.evaluation.batch(0, 2)["input"] == PIXELS[:2, ..., ::-1]).all()
    assert (sensed.model.evaluation.batch(0, 2)["input"] == normalize(PIXELS[:2])).all()
    assert np.allclose(sensed.processed.evaluation.batch(0, 2)["input"], normalize(PIXELS[:2]), atol=1e-6)
    assert sensed.is_independent
    assert not sensed.is_reframed


def test_the_hash_says_what_the_sensor_gives():
    hashes = {sense(PICTURES, spec).sensor.evaluation.sha256 for spec in (CAMERA, change_camera(colour="RGB"))}
    assert len(hashes) == 2
    assert "made" not in hashes


@pytest.mark.parametrize(
    "spec", [change_camera(height=6, width=4), change_camera(colour="grey"), change_camera(type="uint16")], ids=range(3)
)
def test_pictures_of_another_size_or_kind_are_refused(spec):
    refuse(PICTURES, spec)


def test_arrays_of_the_sensor_are_processed_for_the_model():
    sensed = sense(make_arrays(input=PIXELS[..., ::-1], other=np.ones((3, 2))))
    batch = sensed.model.evaluation.batch(0, 2)
    assert np.allclose(batch["input"], normalize(PIXELS[:2]), atol=1e-6)
    assert (batch["other"] == 1).all()
    assert (sensed.sensor.evaluation.batch(0, 2)["other"] == 1).all()
    assert not sensed.is_independent


def test_floats_are_no_samples_of_a_sensor_that_gives_bytes():
    assert refuse(make_arrays(input=normalize(PIXELS))).expected == "uint8 of shape (4, 6, 3)"
    assert refuse(make_arrays(input=PIXELS.astype(np.float32))).found == "float32 of shape (4, 6, 3)"


def test_bytes_in_another_layout_are_refused():
    refuse(make_arrays(input=PIXELS.transpose(0, 3, 1, 2)))


def test_pictures_of_floats_that_are_normalized_already_are_refused_and_plain_ones_are_taken():
    floats = change_camera(type="float32", colour="RGB", graph={"scale": 1.0})
    plain = (PIXELS / 255).astype(np.float32)
    assert np.allclose(
        sense(make_arrays(input=plain), floats).model.evaluation.batch(0, 3)["input"], normalize(PIXELS), atol=1e-6
    )
    normalized = normalize(PIXELS).transpose(0, 2, 3, 1)
    assert "negative light" in refuse(make_arrays(input=normalized), floats).what


def test_decoded_sound_becomes_the_whole_numbers_that_it_was():
    numbers = np.array([[-32768, -1, 0, 1, 32767]] * 3, np.int16)
    sensed = sense(make_arrays(input=(numbers / 32768).astype(np.float32)), MICROPHONE)
    assert (sensed.sensor.evaluation.batch(0, 3)["input"] == numbers).all()
    assert sensed.sensor.evaluation.batch(0, 1)["input"].dtype == np.int16


def test_sound_of_more_bits_or_of_another_scale_is_refused():
    fine = np.array([[0.5, 1 / 3]] * 3, np.float32)
    assert "not what int16 gives" in refuse(make_arrays(input=fine), MICROPHONE).what


@dataclass(frozen=True)
class Folder:
    path: object
    targets: dict = field(default_factory=dict)

    def load(self, **options):
        framing = make_framing(PictureOptions(width=6, height=4, **options))
        return make_dataset(
            FileSamples(
                paths=sorted(self.path.iterdir()),
                targets=self.targets,
                sha256="made",
                read=framing.read_picture,
                finish=framing.normalize,
                frame=framing.read_frame,
                framed=framing.framed,
            )
        )


@pytest.fixture
def folder(tmp_path):
    for index, size in enumerate([(9, 9), (20, 5)]):
        Image.fromarray(draw_pixels(1, *size)[0]).save(tmp_path / f"{index}.png")
    return Folder(tmp_path)


def test_frames_are_resized_as_the_application_does_it(folder):
    spec = change_camera(resize="letterbox", fill=7)
    sensed = sense(folder.load(), spec)
    assert sensed.is_reframed
    expected = [prepare_picture(draw_pixels(1, *size)[0][..., ::-1], spec.picture)[0] for size in [(9, 9), (20, 5)]]
    assert (sensed.sensor.evaluation.batch(0, 5)["input"] == np.concatenate(expected)).all()


def test_targets_that_lie_where_the_data_set_laid_the_picture_ask_for_the_same_rule(folder):
    boxes = replace(folder, targets={"boxes": Ragged(values=np.zeros((2, 4), np.float32), offsets=np.array([0, 1, 2]))})
    sense(boxes.load(), change_camera(resize="letterbox", fill=114))
    assert refuse(boxes.load(), change_camera(resize="stretch")).expected == "resize letterbox"
    assert refuse(boxes.load(), change_camera(resize="letterbox", fill=7)).expected == "fill 114"


def test_without_a_rule_the_pictures_are_those_of_the_data_set(folder):
    sensed = sense(folder.load(), change_camera(resize="none", colour="RGB"))
    pixels = folder.load().evaluation.read_pixels(0, 2)
    assert (sensed.sensor.evaluation.batch(0, 2)["input"] == pixels).all()


def test_the_names_of_samples_stay(folder):
    assert sense(folder.load()).sensor.evaluation.name_sample(0).endswith("0.png")
