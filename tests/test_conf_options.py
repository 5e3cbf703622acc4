"""docs/options.md, which `make docs` writes."""

import importlib.util
import shutil
import warnings
from pathlib import Path

from resnet_lab.core.configuration.config import CONF
from tests.helpers import REPOSITORY

PAGE = REPOSITORY / "docs/options.md"


def page_of(conf: Path) -> str:
    path = REPOSITORY / "docs/make_options.py"
    spec = importlib.util.spec_from_file_location("make_options", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text: str = module.options(conf)
    return text


def test_a_page_that_is_out_of_date_is_only_a_warning() -> None:
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page_of(CONF):
        with warnings.catch_warnings():
            warnings.simplefilter("always")  # not an error
            warnings.warn("docs/options.md is out of date: run `make docs`", stacklevel=1)


def test_every_option_has_a_line_of_its_own(tmp_path: Path) -> None:
    shutil.copytree(CONF, tmp_path / "conf")
    (tmp_path / "conf/model/mine.yaml").write_text("# Mine | of <width>\nname: mine\n")
    (tmp_path / "conf/augment/silent.yaml").write_text("# @package data.augment\na: null\n")
    lines = page_of(tmp_path / "conf").splitlines()
    assert "| `mine` | Mine \\| of &lt;width> |" in lines
    assert "| `silent` |  |" in lines
    for path in CONF.glob("*/**/*.yaml"):
        assert any(line.startswith(f"| `{path.stem}` | ") for line in lines), path
    assert not any("`residual`" in line for line in lines)  # what networks share is no option
