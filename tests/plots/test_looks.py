"""A method looks the same in every figure, whoever stands beside it."""

import pandas as pd

from cinema.analysis import ejection, long_axis
from cinema.files import RECORDED
from cinema.plots import style
from cinema.training import arms


def names_of_arms():
    """What pages, trainings and recorded tables call their contenders."""
    tables = [pd.read_csv(RECORDED / f"{name}.csv")["arm"].unique() for name in ("labels", "fine_tuning")]
    on_pages = ["CineMA, masks", "UNet, masks", "CineMA, direct", "scratch, direct", "ResNet, direct", "frozen, direct"]
    on_pages += ["heatmap pretrained", "heatmap UNet", "coordinates pretrained", "coordinates ResNet", "brief, masks"]
    on_pages += ["ResNet", "frozen features", "oracle", "published", "reader", "network", "labels", "exact landmarks"]
    analysis = [ejection.READER, ejection.DIRECT, ejection.GUESS, long_axis.MIDDLE]
    return list(dict.fromkeys([*arms.ARMS, *(name for table in tables for name in table), *on_pages, *analysis]))


def test_a_method_looks_the_same_whoever_stands_beside_it():
    names = names_of_arms()
    alone = {name: style.looks([name])[0] for name in names}
    unnamed = {name for name in names if style.looks(["first", name])[1] != alone[name]}
    assert unnamed == set()  # a name that METHODS lacks would get the second look of SERIES here
    for order in (names, names[::-1], names[1::3], ["women", *names[::2], "men"]):
        drawn_as = dict(zip(order, style.looks(order)))
        assert all(drawn_as[name] == alone[name] for name in order if name in alone)
    assert style.looks(["UNet (n = 9)", "CNN"]) == [alone["UNet, masks"]] * 2 == [alone["heatmap UNet"]] * 2
    assert alone["CineMA, pretrained"] == alone["pretrained"] == alone["heatmap pretrained"] != alone["CineMA, scratch"]


def test_methods_and_others_are_told_apart_in_print():
    colours = {look[0] for look in style.METHODS} - {style.GREY}
    assert len(style.METHODS) == len(set(style.METHODS)) and len(colours) >= len(style.METHODS) - 2
    assert not {"#009E73"} & colours  # the myocardium's
    assert len({look[1:] for look in style.METHODS}) == len(style.METHODS)
    first, method, second = style.looks(["women", "UNet", "men"])
    assert len({first[0], method[0], second[0]}) == 3
