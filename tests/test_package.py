import pytest

import emotion_gcn_jax as eg


def test_the_package_offers_what_it_lists():
    assert set(eg.__all__) <= set(dir(eg))
    for name in eg.__all__:
        assert getattr(eg, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'predict_everything'"):
        eg.predict_everything  # noqa: B018
