"""The page of what the package offers."""

from cinema.runner.api import api


def test_public_names_with_signature_and_docstring_and_nothing_private(tmp_path):
    package = tmp_path / "heart"
    (package / "room").mkdir(parents=True)
    (package / "__init__.py").write_text('"""A heart & its <rooms>."""\n', encoding="utf-8")
    functions = 'def ef(edv_ml: float, esv_ml=1.0) -> float:\n  """Share ejected."""\ndef _hidden():\n  """No."""\n'
    wall = 'class Wall:\n  """Thick."""\n  def mass_g(self):\n    """Of muscle."""\n'
    (package / "room" / "lv.py").write_text(functions + wall, encoding="utf-8")
    (package / "empty.py").write_text("", encoding="utf-8")
    text = "".join(api(package))
    signatures = "ef(edv_ml: float, esv_ml=1.0) -&gt; float", "class Wall", "Wall.mass_g(self)"
    for shown in ("A heart &amp; its &lt;rooms&gt;.", 'id="heart.room.lv"', "Of muscle.", *signatures):
        assert shown in text
    assert "_hidden" not in text and "heart.empty" not in text


def test_the_page_of_this_package_names_its_rooms():
    text = "".join(api())
    assert all(f'id="cinema.{name}"' in text for name in ("models.mae", "data.study", "stats.estimates", "runner.page"))
