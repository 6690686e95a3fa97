"""Pages are followed to the letter, and a page that is wrong is named with what came instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.tree import ROOT
from tests.tutorials.follow import TutorialFailed, copy_checkout, follow

GOOD = """# A page

```python lib/two.py
TWO = 2

print("it is", TWO)
```

```diff
--- a/lib/two.py
+++ b/lib/two.py
@@ -1 +1 @@
-TWO = 2
+TWO = 3

 print("it is", TWO)
```

```json
{"only": "shown"}
```

```console
$ python3 lib/two.py && echo "$WORD"
it … 3
said
$ echo one \\
  two
one… two
$ ! false
```
"""


def followed(page: str, where: Path) -> None:
    (where / "page.md").write_text(page)
    follow(where / "page.md", where, {"WORD": "said"})


def test_files_diffs_and_commands_are_obeyed(tmp_path: Path) -> None:
    followed(GOOD, tmp_path)
    assert (tmp_path / "lib" / "two.py").read_text().startswith("TWO = 3\n")


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (GOOD.replace("it … 3", "it … 4"), r"page\.md:23 \(console\): expected .* to print\nit … 4\n.*\nit is 3"),
        (GOOD.replace("! false", "false"), r"page\.md:23 .*`false` to succeed, it left with 1"),
        (GOOD.replace("-TWO = 2", "-TWO = 1"), r"page\.md:9 \(diff\): expected a diff that applies"),
        ("```console\nls\n```\n", r"page\.md:1 \(console\): expected a first line that begins"),
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
