import ctypes

from toolchain.run.heap import trim_heap


def test_what_was_freed_is_given_back_once(monkeypatch):
    given_back = []
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: type("Glibc", (), {"malloc_trim": given_back.append}))
    trim_heap()
    assert given_back == [0]


def test_a_c_library_that_cannot_give_back_stops_nothing(monkeypatch):
    asked = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: asked.append(name) or object())
    trim_heap()
    assert asked == [None]
