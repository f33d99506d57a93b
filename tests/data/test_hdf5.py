"""Study files are whole or refused: damage, foreign files, what crashes the library, and disks that are full."""

import subprocess
import sys
import time
import zlib
from dataclasses import replace

import h5py
import numpy as np
import pytest
import tiny
from places import ROOT

from cinema import files
from cinema.data import hdf5
from cinema.data.public import prepare
from cinema.data.study import load_study, save_study, study_table


@pytest.fixture
def path(tmp_path):
    return tiny.write(tmp_path, n=1)[0]


def refused(path, words):
    begun = time.monotonic()
    with pytest.raises(ValueError, match=words) as error:
        load_study(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value) and time.monotonic() - begun < 10


def equal(one, other):
    assert list(one.views) == list(other.views) and one.attributes == other.attributes
    for name, view in one.views.items():
        np.testing.assert_array_equal(view.image, other.views[name].image)
        np.testing.assert_array_equal(view.labels, other.views[name].labels)


def sealed(content, held):
    """A file's bytes with the seal that zlib gives it."""
    crc = zlib.crc32(content + held[512:])
    return (b"cinema, content " + content + hdf5.CRC + b"%08x\n" % crc).ljust(512, b"\0") + held[512:]


def test_a_seal_is_that_of_zlib_and_leaves_plain_hdf5(path):
    held = path.read_bytes()
    with h5py.File(path) as file:
        content = hdf5.content_of(file)
        assert held == sealed(content.encode(), held)
        np.testing.assert_array_equal(file["views/sax/image"], load_study(path).views["sax"].image)


def test_equal_content_is_one_however_it_is_packed_and_any_change_is_another(path, tmp_path):
    study, other = load_study(path), tmp_path / "other" / path.name
    other.parent.mkdir()
    with h5py.File(path) as file:
        attributes, image = dict(file.attrs), file["views/sax/image"][()]
    with hdf5.written(other) as file, h5py.File(path) as source:
        for name in ("truth", "attributes", "views"):
            source.copy(name, file)
        file.attrs.update(attributes)
        del file["views/sax/image"]
        file["views/sax"].create_dataset("image", data=image)  # not packed at all
    assert other.read_bytes() != path.read_bytes() and files.digest([other]) == files.digest([path])
    changed = replace(study, attributes={**study.attributes, "height_cm": 171.0})
    assert files.digest([save_study(changed, tmp_path / "third")]) != files.digest([path])


def test_every_changed_byte_and_every_cut_is_noticed(path):
    whole, study, rng = path.read_bytes(), load_study(path), np.random.default_rng(0)
    for place in [0, 60, *rng.integers(512, len(whole), 60)]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.integers(8)]) + whole[place + 1 :])
        if place == 0:  # it has no seal now, and is read through
            equal(load_study(path), study)
        else:
            refused(path, "its checksum is another; copy|checksum")
    for length in (len(whole) - 1, 2000, 512, 300, 0):
        path.write_bytes(whole[:length])
        refused(path, "not a readable study")


@pytest.fixture
def unsealed(path):
    """A study as earlier versions wrote it."""
    content = path.read_bytes()
    path.write_bytes(bytes(hdf5.BLOCK) + content[hdf5.BLOCK :])
    return path


def test_earlier_files_are_read_and_damaged_ones_are_not(unsealed):
    whole, study, rng = unsealed.read_bytes(), load_study(unsealed), np.random.default_rng(0)
    assert list(study.views) == ["sax", "lax_4c"] and len(study_table(unsealed.parent)) == 1
    answers = set()
    for place in rng.integers(512, 6000, 40):  # where the library's own tables are
        unsealed.write_bytes(whole[:place] + bytes([255 ^ whole[place]]) + whole[place + 1 :])
        try:
            load_study(unsealed)
            answers.add("read")
        except ValueError as error:
            assert "\n" not in str(error) and str(unsealed) in str(error)
            answers.add("refused")
    assert answers == {"read", "refused"}


def linked(file):
    file["views/sax/labels2"] = h5py.ExternalLink("other.h5", "/views/sax/image")


def soft(file):
    file["views/lax_2c"] = h5py.SoftLink("/views/sax")


def packed(file):
    file.create_dataset("views/sax/more", data=np.zeros((8, 8)), compression="gzip")


def outside(file):
    file.create_dataset("views/sax/more", (8, 8), np.uint8, external=[("other.raw", 0, 64)])


def claims(file):
    file.create_dataset("views/sax/more", (30000, 30000, 30000), np.int16, chunks=(100, 100, 1), compression="lzf")


@pytest.mark.parametrize("with_seal", [True, False])
@pytest.mark.parametrize(
    ("change", "words"),
    [(linked, "link"), (soft, "link"), (packed, "filter"), (outside, "outside itself"), (claims, "claims 54000000 MB")],
)
def test_what_is_never_written_is_refused(path, change, words, with_seal):
    with h5py.File(path, "r+") as file:
        change(file)
    content = path.read_bytes()
    path.write_bytes(sealed(bytes(32), content) if with_seal else bytes(512) + content[512:])
    refused(path, words)


def test_foreign_files(tmp_path):
    (tmp_path / "a.h5").write_text("no HDF5", encoding="utf-8")
    refused(tmp_path / "a.h5", "not a readable study")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["weights"] = np.zeros(5)
    refused(tmp_path / "b.h5", "not a study of format 1")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_study(tmp_path / "c.h5")


def test_a_file_that_hangs_the_library_is_given_up(unsealed, monkeypatch):
    def asleep(asked_by):
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")

    asleep.cache_clear = lambda: None
    monkeypatch.setattr(hdf5, "_helper", asleep)
    monkeypatch.setattr(hdf5, "SECONDS", 1)
    refused(unsealed, "does not end")


def test_the_memory_of_who_reads_is_limited():
    code = "from cinema.data import hdf5; import numpy as np; hdf5._limit(9); np.ones(10**9)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert "MemoryError" in done.stderr or sys.platform == "win32"


def test_a_full_disk_leaves_the_earlier_study(path):
    pytest.importorskip("resource")
    before = path.read_bytes()
    code = (
        "import resource, signal, sys; from cinema.data.study import load_study, save_study\n"
        "study = load_study(sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "try: save_study(study, sys.argv[2])\nexcept OSError as error: print('told', error.errno)"
    )
    command = [sys.executable, "-c", code, str(path), str(path.parent)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout) == (0, "told 27\n") and path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_error_while_filling_writes_nothing(tmp_path):
    with pytest.raises(KeyError), hdf5.written(tmp_path / "a.h5") as file:
        file["a"] = np.zeros(3)
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_a_prepared_study_that_is_damaged_is_made_anew(path):
    study = load_study(path)
    assert prepare._marked(path) is None
    save_study(type(study)(study.id, "test", study.views, {"prepared_from": "abc"}), path.parent)
    assert prepare._marked(path) == "abc"
    path.write_bytes(path.read_bytes()[:-9])
    assert prepare._marked(path) is None


def test_files_are_checked_once(path, monkeypatch):
    load_study(path)
    monkeypatch.setattr(hdf5.zlib, "crc32", lambda *_: pytest.fail("checked again"))
    load_study(path)
