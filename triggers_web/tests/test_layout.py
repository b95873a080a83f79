"""Where nodes and arrows go: forward, apart, and the same each time."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers_core import Configuration
from triggers_core.insight.graph import graph_of
from triggers_web.layout import MOST_POINTS, ROW_GAP, Size, TooLarge, lay_out
from triggers_web.picture import draw

NAMES = "abcdefgh"
SIZES = {name: Size(80.0 + 10 * index, 40.0) for index, name in enumerate(NAMES)}
arrows = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=20)


@given(arrows)
def test_boxes_never_overlap_and_nothing_leaves_the_picture(drawn):
    layout = lay_out(SIZES, drawn)

    for one, other in combinations(layout.boxes.values(), 2):
        beside = one.x + one.width < other.x or other.x + other.width < one.x
        gap = max(one.y, other.y) - min(one.y + one.height, other.y + other.height)
        assert beside or gap >= ROW_GAP - 1e-6
    for box in layout.boxes.values():
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= layout.width
        assert box.y + box.height <= layout.height
    for point in (point for way in layout.ways for point in way):
        assert 0 <= point.x <= layout.width
        assert 0 <= point.y <= layout.height


@given(arrows)
def test_an_arrow_goes_from_its_source_to_its_target(drawn):
    layout = lay_out(SIZES, drawn)

    for (source, target), way in zip(drawn, layout.ways, strict=True):
        for name, point in ((source, way[0]), (target, way[-1])):
            box = layout.boxes[name]
            assert box.x <= point.x <= box.x + box.width
            assert box.y <= point.y <= box.y + box.height


@given(arrows.map(lambda pairs: [pair for pair in pairs if pair[0] < pair[1]]))
def test_without_a_cycle_every_arrow_goes_to_the_right(drawn):
    layout = lay_out(SIZES, drawn)

    for source, target in drawn:
        left, right = layout.boxes[source], layout.boxes[target]
        assert left.x + left.width < right.x


@given(arrows)
def test_the_same_graph_is_laid_out_the_same(drawn):
    assert lay_out(SIZES, drawn) == lay_out(SIZES, list(drawn))


def test_a_source_stands_just_before_its_first_target():
    layout = lay_out(SIZES, [("a", "b"), ("b", "c"), ("h", "c")])

    a, b, h = (layout.boxes[name] for name in "abh")
    assert h.x + h.width / 2 == pytest.approx(b.x + b.width / 2)
    assert a.x < b.x


def test_arrows_that_need_not_cross_do_not():
    layout = lay_out(SIZES, [("a", "f"), ("b", "e"), ("c", "d")])

    heights = [layout.boxes[name].y for name in "abcfed"]
    assert heights[:3] == sorted(heights[:3])
    assert heights[3:] == sorted(heights[3:])


def test_a_straight_chain_is_drawn_straight():
    layout = lay_out(SIZES, [("a", "b"), ("b", "c"), ("c", "d")])

    assert len({layout.boxes[name].y for name in "abcd"}) == 1


def test_a_cycle_is_drawn_with_one_arrow_back():
    layout = lay_out(SIZES, [("a", "b"), ("b", "c"), ("c", "a")])

    assert [way[0].x < way[-1].x for way in layout.ways] == [True, True, False]


def test_a_long_chain_is_no_recursion():
    names = [f"n{index}" for index in range(MOST_POINTS)]

    layout = lay_out(dict.fromkeys(names, Size(10.0, 10.0)), list(pairwise(names)))

    assert len(layout.boxes) == MOST_POINTS


def test_what_is_too_large_is_refused_before_the_work():
    names = [f"n{index}" for index in range(1_000)]
    edges = [*pairwise(names), *((names[0], name) for name in names[1:])]

    with pytest.raises(TooLarge):
        lay_out(dict.fromkeys(names, Size(10.0, 10.0)), edges)


def test_nothing_is_laid_out_as_nothing():
    assert lay_out({}, []).boxes == {}


def test_a_long_name_is_shortened_in_the_middle_and_a_wide_one_has_room():
    long, wide = "a" * 40 + "z" * 40, "漢" * 20
    drawing = draw(graph_of(Configuration.parse({long: {"after": [wide], "run": "x"}})))

    by_name = {drawn.node.name: drawn for drawn in drawing.nodes}
    assert by_name[long].label == "a" * 14 + "…" + "z" * 13
    assert by_name[wide].box.width > 20 * 13
