"""Files of messages: chosen, sent, shown, saved."""
import os
import struct
import tempfile
import zlib

from selenium.webdriver.common.keys import Keys

from history_test import OpenPage

SECRET = b"52.5200N 13.4050E"


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width=40, height=30, *more):
    rows = zlib.compress(b"".join(b"\0" + b"\x20\x80\xc0" * width for _ in range(height))) if width < 5000 else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) \
        + b"".join(more) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


class FileTests(OpenPage):
    def setUp(self):
        super().setUp()
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def file(self, name, content):
        path = os.path.join(self.directory.name, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def choose(self, *paths):
        self.driver.execute_script("document.querySelector('.composer input[type=file]').hidden = false")
        self.one(".composer input[type=file]").send_keys("\n".join(paths))
        self.wait(lambda: len(self.all(".pick")) == len(paths), "chosen")

    def stored(self, seq):
        """The files of a message, and their bytes."""
        files = self.ask("bob", "GET", f"/v1/conversations/general/messages/{seq}?fold=1")["files"]
        return [file["name"] for file in files], [self.js(
            "return fetch('/v1/files/' + arguments[0], { headers: { 'Natter-User': 'alice' } }).then((one) => one.arrayBuffer())"
            ".then((one) => [...new Uint8Array(one)])", file["id"]) for file in files]

    def test_files_are_sent_with_a_text_shown_and_viewed(self):
        self.log_in("alice")
        self.choose(self.file("shot.png", png(40, 30, chunk(b"tEXt", SECRET))), self.file("a <b>.log", b"12345"))
        self.assertIn("5 B", self.one(".tray").text)
        self.field().send_keys("It failed again" + Keys.ENTER)
        self.wait(lambda: self.all("#m1 .picture img"), "the picture")
        self.assertFalse(self.one(".tray").is_displayed())
        self.assertEqual(self.js("return document.querySelector('#m1 .picture img').naturalWidth"), 40)
        self.assertEqual(self.one("#m1 .picture img").get_attribute("alt"), "It failed again")
        self.assertEqual(self.one("#m1 .file").text, "a <b>.log (5 B)")
        names, contents = self.stored(1)
        self.assertEqual(names, ["shot.png", "a <b>.log"])
        # What a photograph tells of its place is not sent.
        self.assertEqual(bytes(contents[0]), png())
        self.assertEqual(bytes(contents[1]), b"12345")
        self.click("#m1 .picture")
        self.wait(lambda: self.all("dialog.viewer img"), "the viewer")
        self.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
        self.wait(lambda: not self.all("dialog.viewer"), "closed")
        # One without a text, and one after a reload
        self.choose(self.file("b.txt", b"1"))
        self.click(".send")
        self.wait(lambda: self.all("#m4 .file"), "sent")
        self.driver.refresh()
        self.wait(lambda: self.all("#m1 .picture img") and self.all("#m4 .file"), "as before")
        self.ask("alice", "POST", "/v1/messages", {"conversation": "general", "kind": "delete", "about": 1})
        self.wait(lambda: not self.all("#m1 .files"), "gone")

    def test_a_picture_of_absurd_size_and_one_that_is_none_are_saved_not_shown(self):
        self.log_in("alice")
        self.choose(self.file("bomb.png", png(50_000, 50_000)), self.file("script.svg", b"<svg onload='alert(1)'/>"))
        self.click(".send")
        self.wait(lambda: len(self.all("#m1 .file")) == 2, "as files")
        self.assertFalse(self.all("#m1 img"))

    def test_a_refusal_is_told_and_what_was_chosen_stays(self):
        self.log_in("alice")
        self.choose(self.file("large", b"\0" * (26 << 20)))
        self.field().send_keys("text" + Keys.ENTER)
        self.wait(lambda: "file-size" in self.one(".composer-status").text, "refused")
        self.assertEqual(self.field().get_property("value"), "text")
        self.click(".pick button")
        self.assertFalse(self.all(".pick"))
        self.click(".send")
        self.wait(lambda: self.texts() == ["text"], "sent without")
