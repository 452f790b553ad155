"""Where there is no browser, its tests are skipped; where .ci/run has installed one, they fail."""

import shutil

import pytest

from tests.e2e.browsing import launched


@pytest.fixture(autouse=True)
def no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)


def test_users_need_no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYGGML_NEEDS_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"), launched():
        pass


def test_ci_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYGGML_NEEDS_BROWSER", "1")
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"), launched():
        pass
