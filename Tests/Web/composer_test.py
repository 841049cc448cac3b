"""The field where messages are written: edits under way, drafts in several tabs, what is quoted above it."""
from selenium.webdriver.common.keys import Keys

from history_test import OpenPage


class ComposerTests(OpenPage):
    def value(self):
        return self.field().get_property("value")

    def act(self, seq, label):
        """Uses a button of a message by keyboard."""
        self.focus_row(seq)
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

    def test_an_edit_that_changes_nothing_is_not_sent(self):
        self.post("alice", "one")
        self.log_in("alice")
        self.wait_rows(1)
        self.field().send_keys(Keys.ARROW_UP)
        self.wait(lambda: self.value() == "one")
        self.field().send_keys(Keys.ENTER)
        self.wait(lambda: self.value() == "")
        self.say("two")
        self.wait(lambda: self.texts() == ["one", "two"])
        self.wait_sent()
        self.assertEqual(self.ask("bob", "GET", "/v1/conversations/general")["head"], 2)

    def test_a_tab_that_only_shows_a_conversation_leaves_the_draft_of_another_tab(self):
        self.log_in("alice")
        first = self.driver.current_window_handle
        second = self.new_tab()
        self.open("#/general")
        self.field().send_keys("half a thought")
        draft = "return Object.entries(localStorage).filter(([name]) => name.includes('draft')).map(([, value]) => JSON.parse(value).text)"
        self.wait(lambda: self.js(draft) == ["half a thought"])
        self.driver.switch_to.window(first)
        # What another tab writes is here too, until something is written here.
        self.wait(lambda: self.value() == "half a thought")
        self.go("#/@bob")
        self.wait(lambda: self.field().get_attribute("aria-label") == "Message to @bob")
        self.driver.refresh()
        self.wait(lambda: self.field().get_attribute("aria-label") == "Message to @bob")
        self.assertEqual(self.js(draft), ["half a thought"])
        self.go("#/general")
        self.wait(lambda: self.value() == "half a thought")
        self.driver.switch_to.window(second)
        self.field().send_keys(Keys.ENTER)
        self.wait_sent()
        self.driver.switch_to.window(first)
        self.wait(lambda: self.value() == "")
        self.field().send_keys("of the first tab")
        self.driver.switch_to.window(second)
        self.wait(lambda: self.value() == "of the first tab")
        self.field().send_keys(", and of the second")
        self.wait(lambda: self.js(draft) == ["of the first tab, and of the second"])
        self.driver.switch_to.window(first)
        self.assertEqual(self.value(), "of the first tab")

    def test_what_is_quoted_changes_with_the_message(self):
        for number, text in enumerate(["a secret", "a typo"]):
            self.post("bob", text)
            self.post("bob", "a reply", about=2 * number + 1)
        self.log_in("alice")
        self.wait(lambda: "a secret" in self.one("#m2 .quote").text and "a typo" in self.one("#m4 .quote").text)
        self.act(3, "Reply")
        self.wait(lambda: "a typo" in self.one(".banner").text)
        self.post("bob", "corrected", kind="edit", about=3)
        self.wait(lambda: "corrected" in self.one("#m4 .quote").text and "corrected" in self.one(".banner").text)
        self.act(1, "Reply")
        self.wait(lambda: "Reply to bob a secret" in self.one(".banner").text)
        # A draft that is shown again finds the text anew.
        self.driver.refresh()
        self.wait(lambda: "Reply to bob a secret" in self.one(".banner").text)
        self.ask("alice", "POST", "/v1/admin/erase", {"conversation": "general", "seqs": [1]})
        self.wait(lambda: "(erased)" in self.one("#m2 .quote").text and "(erased)" in self.one(".banner").text)
        self.assertEqual(self.js("return (document.body.innerHTML + Object.values(localStorage)).includes('a secret')"), False)
        self.post("bob", "", kind="delete", about=3)
        self.wait(lambda: "(deleted)" in self.one("#m4 .quote").text)

    def test_a_message_that_is_taken_back_while_it_is_tried_is_not_sent(self):
        self.log_in("alice")
        self.cut()
        self.field().send_keys("taken back" + Keys.ENTER)
        self.wait(lambda: "not sent yet" in self.one(".row.pending").text)
        # The next try hangs, and fails after the message was taken back.
        self.js("window.whole = window.real")
        self.hold("POST /v1/messages")
        self.wait_held(1)
        self.press_button("Remove")
        self.js("window.real = () => Promise.reject(new TypeError('cut')); held[0]()")
        self.js("window.fetch = window.real = window.whole")
        self.wait(lambda: self.value() == "taken back")
        self.assertEqual(self.js("return Object.keys(localStorage).filter((name) => name.includes('outbox')).length"), 0)
        self.field().clear()
        self.field().send_keys("sent instead" + Keys.ENTER)
        self.wait(lambda: self.texts() == ["sent instead"])
        self.wait_sent()
        page = self.ask("bob", "GET", "/v1/conversations/general/messages")
        self.assertEqual([message["text"] for message in page["messages"]], ["sent instead"])

    def test_the_late_answer_to_an_edit_leaves_a_newer_draft(self):
        draft = "return Object.entries(localStorage).filter(([name]) => name.includes('draft')).map(([, value]) => JSON.parse(value).text)"
        self.ask("alice", "POST", "/v1/groups", {"name": "team"})
        self.post("alice", "one")
        self.log_in("alice", address="#/general")
        self.wait_rows(1)
        self.hold("POST /v1/messages")
        self.field().send_keys(Keys.ARROW_UP)
        self.wait(lambda: self.value() == "one")
        self.field().send_keys(" more" + Keys.ENTER)
        self.wait_held(1)
        self.go("#/team")
        self.wait(lambda: self.value() == "")
        self.go("#/general")
        self.wait(lambda: self.value() == "one more")
        self.field().send_keys(Keys.ESCAPE)
        self.wait(lambda: self.value() == "")
        self.field().send_keys("a draft of ten minutes")
        self.wait(lambda: self.js(draft) == ["a draft of ten minutes"])
        self.release(0)
        self.wait(lambda: self.texts() == ["one more"])
        self.wait(lambda: self.js("return performance.getEntriesByName(location.origin + '/v1/messages').length") == 1)
        self.assertEqual(self.js(draft), ["a draft of ten minutes"])

    def test_a_refused_message_stays_when_another_with_its_text_arrives(self):
        self.ask("bob", "PUT", "/v1/blocks/alice", {})
        self.log_in("alice", address="#/@bob")
        self.say("hello")
        self.wait(lambda: self.texts(".row.pending .meta")[0].startswith("not sent:"))
        self.ask("bob", "DELETE", "/v1/blocks/alice")
        # Of another program, so that only news tell of it.
        self.post("alice", "hello", "@bob")
        self.wait_rows(1)
        self.post("alice", "after", "@bob")
        self.wait_rows(2)
        self.assertEqual(self.texts(), ["hello", "after", "hello"])
        self.assertEqual(len(self.all(".row.pending")), 1)

    def test_the_late_answer_to_an_edit_leaves_the_focus(self):
        self.post("alice", "one")
        self.log_in("alice")
        self.wait_rows(1)
        self.click("#details-button")
        self.one(".details input")
        self.field().send_keys(Keys.ARROW_UP)
        self.wait(lambda: self.value() == "one")
        self.hold("POST /v1/messages", answers=True)
        self.field().send_keys(" two" + Keys.ENTER)
        self.wait_held(1)
        self.one(".details input").click()
        self.release(0)
        self.wait(lambda: self.value() == "")
        self.driver.switch_to.active_element.send_keys("bo")
        self.assertEqual(self.one(".details input").get_property("value"), "bo")
