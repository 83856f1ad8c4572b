"""An archive says what is in it, and says it the same way each time."""

import hashlib
import io
import json
import zipfile

from billing.documents import archive, json_file
from billing.documents.figures import from_dict
from tests.billing.documents import sample

FILES = [archive.Entry("A/a.csv", b"one", {"invoice": "A"}), archive.Entry("B/b.pdf", b"two", {"invoice": "B"})]


class TestArchive:
    def test_names_every_file_with_its_hash(self):
        opened = zipfile.ZipFile(io.BytesIO(archive.render(FILES)))

        assert opened.namelist() == ["A/a.csv", "B/b.pdf", "manifest.json", "SHA256SUMS"]
        for line in opened.read("SHA256SUMS").decode().splitlines():
            sha256, path = line.split("  ")
            assert hashlib.sha256(opened.read(path)).hexdigest() == sha256
        (first, second) = json.loads(opened.read("manifest.json"))["files"]
        assert (first["path"], first["bytes"], first["invoice"]) == ("A/a.csv", "3", "A")
        assert second["sha256"] == hashlib.sha256(b"two").hexdigest()

    def test_is_the_same_on_every_run(self):
        assert archive.render(FILES) == archive.render(FILES)


class TestJson:
    def test_is_the_figure_set_with_the_digest_of_it(self):
        figures = sample.document(6)

        body = json.loads(json_file.render(figures))

        assert from_dict(body["figures"]) == figures
        canonical = json.dumps(body["figures"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(canonical.encode()).hexdigest() == body["verification"] == figures.digest

    def test_has_no_floating_point(self):
        def refuse(text: str) -> None:
            raise AssertionError(text)

        json.loads(json_file.render(sample.document(40)), parse_float=refuse)
