"""Follow tutorials step by step. An error names the page and the actual result."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.tutorials.follow import TutorialFailed, copy_checkout, follow

GOOD = """# A page

```toml lib/two.toml
two = 2

[is]
```

```diff
--- a/lib/two.toml
+++ b/lib/two.toml
@@ -1 +1 @@
-two = 2
+two = 3

 [is]
```

```json
{"only": "shown"}
```

```console
$ cat lib/two.toml && echo "$WORD"
two…3
said
$ echo one
> echo two
one
two
$ ! false
```
"""


def followed(page: str, where: Path) -> None:
    page_file = where / "page"
    page_file.write_text(page)
    follow(page_file, where, {"WORD": "said"})


def test_files_diffs_and_commands_are_obeyed(tmp_path: Path) -> None:
    followed(GOOD, tmp_path)
    assert (tmp_path / "lib" / "two.toml").read_text().startswith("two = 3\n")


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (GOOD.replace("two…3", "two…4"), r"page:23 \(console\): expected .* to print\ntwo…4\n.*\ntwo = 3"),
        (GOOD.replace("! false", "false"), r"page:23 .*`false` to succeed, it left with 1"),
        (GOOD.replace("-two = 2", "-two = 1"), r"page:9 \(diff\): expected a diff that applies"),
        ("```console\nls\n```\n", r"page:1 \(console\): expected a first line that begins"),
    ],
)
def test_what_cannot_be_followed_is_named(page: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(TutorialFailed, match=told):
        followed(page, tmp_path)


def test_a_copy_holds_the_checkout_and_its_environment(tmp_path: Path) -> None:
    where = copy_checkout(tmp_path / "copy")
    assert (where / "models" / "registry.py").read_bytes() == (ROOT / "models" / "registry.py").read_bytes()
    assert (where / ".venv" / "bin" / "python").exists() and (where / ".git").is_dir()
    assert not (where / ".matchbook").exists()
