import numpy as np
import pytest

from resnet_lab.reporting.plots.images import confusion_matrix, image_grid


def test_confusion_matrix_shows_shares_of_the_true_class() -> None:
    figure = confusion_matrix(np.array([[3, 1], [0, 0]]), ["cat", "dog"])
    axes = figure.axes[0]
    assert axes.get_ylabel() == "true class"
    assert np.asarray(axes.images[0].get_array()).tolist() == [[75, 25], [0, 0]]
    assert sorted(text.get_text() for text in axes.texts) == ["25", "75"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "dog"]


def test_confusion_matrix_shows_counts() -> None:
    axes = confusion_matrix(np.array([[300, 1], [0, 0]]), ["cat", "dog"], shares=False).axes[0]
    assert sorted(text.get_text() for text in axes.texts) == ["1", "300"]


def test_confusion_matrix_of_many_classes_has_no_numbers() -> None:
    axes = confusion_matrix(np.eye(100, dtype=int), [f"class {i}" for i in range(100)]).axes[0]
    assert not axes.texts
    assert len(axes.get_xticklabels()) == 100
    axes = confusion_matrix(np.eye(150, dtype=int), [f"class {i}" for i in range(150)]).axes[0]
    assert len(axes.get_xticklabels()) < 20


@pytest.mark.parametrize("channels", [1, 3])
def test_image_grid_draws_images_below_their_titles(channels: int) -> None:
    images = np.arange(7 * 4 * 4 * channels, dtype=np.uint8).reshape(7, 4, 4, channels)
    figure = image_grid(images, [f"title {i}" for i in range(7)], columns=3)
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == [f"title {i}" for i in range(7)]
    drawn = np.asarray(shown[6].images[0].get_array())
    assert np.array_equal(drawn.reshape(4, 4, channels), images[6])


def test_image_grid_refuses_no_images() -> None:
    with pytest.raises(ValueError, match="no images"):
        image_grid(np.zeros((0, 4, 4, 1), np.uint8), [])
