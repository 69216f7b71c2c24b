import numpy as np

from seriatim.analysis.gallery import Found, GalleryGroup, GalleryImage
from seriatim.core.instances import Instances
from seriatim.plots.gallery import draw_gallery

LABELS = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])


def image(name, crf=False):
    found = Instances.from_label_map(LABELS)
    pixels = np.zeros((2, 4, 3), dtype=np.uint8)
    refined = Found(found[:1], 0.75) if crf else None
    return GalleryImage(name, pixels, found, Found(found, 0.5), refined)


def texts(figure):
    return [one.get_text() for one in figure.texts]


def test_a_group_is_named_by_its_objects_and_an_image_by_what_was_found():
    figure = draw_gallery([GalleryGroup(2, 2, 7, (image("a"),)), GalleryGroup(3, 9, 1, (image("b"),))], "a title")
    told = texts(figure)
    for wanted in ("a title", "2 objects  (7 images)", "3 to 9 objects  (1 image)", "a", "b", "2 found, SBD 0.50"):
        assert wanted in told
    assert "found, with CRF" not in told
    assert len(figure.axes) == 2 * 3


def test_what_the_crf_gives_stands_beside_what_was_found():
    figure = draw_gallery([GalleryGroup(1, 1, 1, (image("a", crf=True),))], "t")
    assert {"found, with CRF", "1 found, SBD 0.75"} <= set(texts(figure))
    assert len(figure.axes) == 4
    assert [len(axes.images) for axes in figure.axes] == [1, 2, 2, 2]
