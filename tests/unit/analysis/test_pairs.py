import pytest

from seriatim.analysis.pairs import MIN_PAIRS, PairCounts, find_patterns
from seriatim.analysis.places import Place

SIZE = (100, 200)


@pytest.mark.parametrize(
    ("second", "patterns"),
    [
        (Place(50.0, 70.0, 90), ()),  # 30 of 200 columns are 15 % and no more
        (Place(50.0, 69.0, 90), ("right_to_left",)),
        (Place(50.0, 131.0, 90), ("left_to_right",)),
        (Place(35.0, 100.0, 90), ()),
        (Place(34.0, 100.0, 90), ("bottom_to_top",)),
        (Place(66.0, 100.0, 90), ("top_to_bottom",)),
        (Place(50.0, 100.0, 60), ()),  # a factor of 1.5 and no more
        (Place(50.0, 100.0, 59), ("large_to_small",)),
        (Place(50.0, 100.0, 136), ("small_to_large",)),
        (Place(0.0, 0.0, 1), ("right_to_left", "bottom_to_top", "large_to_small")),
    ],
)
def test_two_objects_are_ordered_beyond_the_thresholds(second, patterns):
    assert find_patterns(Place(50.0, 100.0, 90), second, SIZE) == patterns


def counted(*images):
    counts = PairCounts()
    for image in images:
        counts.add(image, SIZE)
    return counts


LEFT, RIGHT = Place(50.0, 10.0, 90), Place(50.0, 190.0, 90)


def test_only_consecutive_objects_are_pairs_and_their_classes_count_in_either_order():
    counts = counted([(RIGHT, 1), (LEFT, 2), (RIGHT, 1)], [(LEFT, 2)])
    assert {classes: len(pairs) for classes, pairs in counts.found.items()} == {(1, 2): 2}
    [every, same, different] = counts.groups(["person", "dog"])
    assert (every.name, every.num_pairs, every.share("right_to_left"), every.share("left_to_right")) == (
        "all pairs",
        2,
        0.5,
        0.5,
    )
    assert (same.num_pairs, same.share("right_to_left")) == (0, 0.0)
    assert (different.num_pairs, different.share("bottom_to_top")) == (2, 0.0)


def test_pairs_of_categories_are_named_once_they_were_seen_often_the_most_frequent_first():
    rare = [[(RIGHT, 1), (LEFT, 3)]] * (MIN_PAIRS - 1)
    often = [[(RIGHT, 2), (LEFT, 1)]] * MIN_PAIRS
    most = [[(RIGHT, 2), (LEFT, 2)]] * (MIN_PAIRS + 1)
    groups = counted(*rare, *often, *most).groups(["person", "dog", "car"])
    assert [(group.name, group.num_pairs) for group in groups] == [
        ("all pairs", 60),
        ("same class", 21),
        ("different classes", 39),
        ("dog+dog", 21),
        ("person+dog", 20),
    ]
    assert groups[4].counts["right_to_left"] == 20


def test_objects_of_one_class_or_none_have_one_group():
    told = counted([(RIGHT, 0), (LEFT, 0)]).as_json(())
    assert list(told) == ["all pairs"]
    assert (told["all pairs"]["num_pairs"], told["all pairs"]["right_to_left"]) == (1, 100.0)
    assert counted().as_json(["leaf"])["all pairs"]["right_to_left"] is None
