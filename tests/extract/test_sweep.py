"""The choice of the steering site."""

from vagus_server.extract.sweep import Bounds, SitePoint, best


def point(site: int, lift: float, perplexity: float = 1.0, distinct: float = 1.0) -> SitePoint:
    """A site of the sweep."""
    return SitePoint(site, {"calm": lift, "sad": lift}, 0.0, perplexity, 1.0, distinct)


def test_the_greatest_lift_within_the_bounds_wins() -> None:
    points = [
        point(5, 1.0),
        point(6, 2.0),
        point(7, 9.0, perplexity=2.6),
        point(8, 9.0, distinct=0.8),
        point(9, 9.0),
    ]
    assert best(points, Bounds(last_site=8)) == 6
    assert best(points, Bounds(last_site=9)) == 9


def test_where_no_site_is_within_the_bounds_none_is_best() -> None:
    assert best([point(5, 1.0, perplexity=3.0)], Bounds(last_site=9)) is None
