"""The field where messages are written: edits under way, drafts in several tabs, what is quoted above it."""
from selenium.webdriver.common.keys import Keys

from history_test import OpenPage


class ComposerTests(OpenPage):
    def value(self):
        return self.field().get_property("value")

    def act(self, seq, label):
        """Uses a button of a message by keyboard."""
        self.js(f"document.querySelector('#m{seq}').focus()")
        self.one(f"#m{seq} [aria-label={label}]").send_keys(Keys.ENTER)

    def test_a_slow_answer_to_an_edit_leaves_the_next_edit_alone(self):
        self.post("alice", "one")
        self.post("alice", "two")
        self.log_in("alice")
        self.wait_rows(2)
        self.hold("POST /v1/messages")
        self.field().send_keys(Keys.ARROW_UP)
        self.wait(lambda: self.value() == "two")
        # Enter again before the answer sends nothing more.
        self.field().send_keys(" better" + Keys.ENTER + Keys.ENTER)
        self.wait_held(1)
        self.field().send_keys(Keys.ESCAPE)
        self.act(1, "Edit")
        self.field().send_keys(" rewritten")
        self.release(0)
        self.wait(lambda: self.texts() == ["one", "two better"])
        self.wait(lambda: self.js("return performance.getEntriesByName(location.origin + '/v1/messages').length") == 1)
        self.assertEqual(self.value(), "one rewritten")
        self.assertIn("Edit message 1", self.one(".banner").text)
        self.field().send_keys(Keys.ENTER)
        self.wait_held(2)
        # What is written after Enter is kept as well.
        self.field().send_keys("!")
        self.release(1)
        self.wait(lambda: self.texts() == ["one rewritten", "two better"])
        self.assertEqual(self.value(), "one rewritten!")
        self.wait(lambda: self.one(".send").is_enabled())
        self.field().send_keys(Keys.ENTER)
        self.wait_held(3)
        self.release(2)
        self.wait(lambda: self.texts() == ["one rewritten!", "two better"])
        self.wait(lambda: self.value() == "")
