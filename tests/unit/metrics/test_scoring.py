import numpy as np

from seriatim.metrics.scoring import ImageTable, in_chunks, per_class, quality_or


def test_chunks_cover_every_row_once():
    assert [list(range(10))[chunk] for chunk in in_chunks(10, 1 << 19)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_class_is_summarised_over_the_images_that_hold_it():
    tables = [ImageTable(0, {2: 5, 1: 3}), ImageTable(0, {}), ImageTable(0, {2: 7})]
    assert per_class(tables, lambda parts: {"sum": sum(parts)}) == {1: {"sum": 3}, 2: {"sum": 12}}


def test_a_table_measures_the_whole_image_and_each_class(make_examples):
    for seed in range(20):
        for example in make_examples(seed):
            table = ImageTable.of(example, lambda overlap: np.array([overlap.num_preds, overlap.num_targets]))
            assert sum(table.classes.values(), start=np.zeros(2)).tolist() == table.whole.tolist()


def test_an_image_without_targets_is_good_if_nothing_was_found():
    assert [quality_or(0.25, 3), quality_or(None, 0), quality_or(None, 1)] == [0.25, 1.0, 0.0]
