"""What an open conversation shows while its messages, its window and its server change."""
import json
import os
import shutil
import time

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from world import PageTest

HOLD = """
    window.real ??= window.fetch;
    window.held = [];
    window.fetch = async (...values) => {
        const answer = ANSWERS ? await real(...values) : null;
        if (`${values[1]?.method ?? 'GET'} ${values[0]}`.includes(PART)) await new Promise((go) => held.push(go));
        return answer ?? real(...values);
    };"""


def holding(part, answers):
    """A script that makes requests whose address contains `part` wait for `release`, or their answers, which the server has made."""
    return HOLD.replace("PART", json.dumps(part)).replace("ANSWERS", json.dumps(answers))


class OpenPage(PageTest):
    """Posts as others, and holds what the page asks for."""

    def setUp(self):
        super().setUp()
        self.tokens = {}

    def ask(self, who, method, path, body=None):
        if who not in self.tokens:
            self.tokens[who] = self.server.login(who)
        return self.server.ask(method, path, body, self.tokens[who])

    def post(self, who, text, conversation="general", **more):
        return self.ask(who, "POST", "/v1/messages", {"conversation": conversation, **({"text": text} if text else {}), **more})

    def js(self, script, *values):
        return self.driver.execute_script(script, *values)

    def go(self, address):
        self.js("location.hash = arguments[0]", address)

    def hold(self, part, answers=False):
        self.js(holding(part, answers))

    def wait_held(self, count):
        self.wait(lambda: self.js("return held.length") == count, f"{count} held")

    def release(self, index):
        self.js("held[arguments[0]]()", index)

    def cut(self):
        """The page reaches no server."""
        self.js("window.real ??= window.fetch; window.fetch = () => Promise.reject(new TypeError('cut')); dispatchEvent(new Event('online'))")
        self.wait(lambda: self.all(".status.offline"), "offline")

    def join(self):
        self.js("window.fetch = window.real; document.querySelector('.status').click()")
        self.wait(lambda: self.all(".status.live"), "connected")

    def wait_rows(self, count):
        self.wait(lambda: len(self.all(".row:not(.pending)")) == count, f"{count} rows")

    def below(self):
        """How far the end is, in pixels."""
        return self.js("const one = document.querySelector('.scroller'); return Math.round(one.scrollHeight - one.clientHeight - one.scrollTop)")

    def unread(self, who="alice"):
        return self.ask(who, "GET", "/v1/conversations/general")["unread"]

    def focused(self):
        return self.js("return document.activeElement.id")


class HistoryTests(OpenPage):
    def test_an_address_of_nothing_says_what_is_not_there(self):
        self.log_in("alice")
        self.go("#/general/7")
        self.wait(lambda: [one.text for one in self.all(".toast")] == ["There is no message 7 yet"])
        self.post("bob", "one")
        for address, words in (("#/%2F", "There is no conversation /"), ("#/nix", "There is no conversation nix"), ("#/@nobody", "There is no user nobody")):
            self.go(address)
            self.wait(lambda: [one.text for one in self.all(".empty h1")] == [words], words)
            self.wait(lambda: words in self.driver.title, words)
        self.go("#/general/999")
        self.wait(lambda: [one.text for one in self.all(".toast")] == ["There is no message 999 yet"])

    def test_after_a_restore_from_a_backup_the_page_shows_what_the_server_has(self):
        backup = os.path.join(self.server.directory, "backup")
        for number in range(3):
            self.post("bob", f"kept {number}")
        self.log_in("alice")
        self.wait_rows(3)
        self.server.operate("backup", backup)
        for number in range(5):
            self.post("bob", f"lost {number}")
        self.wait_rows(8)
        self.server.kill()
        shutil.rmtree(self.server.data)
        self.server.operate("restore", backup)
        self.server.start()
        self.tokens.clear()
        self.click(".status")
        self.wait(lambda: self.texts() == ["kept 0", "kept 1", "kept 2"])
        self.post("bob", "new")
        self.wait(lambda: self.texts() == ["kept 0", "kept 1", "kept 2", "new"])

    def test_in_a_narrow_window_only_messages_that_are_seen_are_read(self):
        for number in range(60):
            self.post("bob", f"{number}: " + "new words " * 20)
        self.driver.set_window_size(500, 800)
        self.log_in("alice")
        self.wait(lambda: self.all(".row"))
        # Only the list is seen. Time enough for the page to mark messages, if it would.
        self.assertFalse(self.js("return document.querySelector('.center').checkVisibility()"))
        self.driver.execute_async_script("setTimeout(arguments[0], 500)")
        self.assertEqual(self.unread(), 60)
        # What is opened begins with what is unread.
        self.click(".conversation")
        self.wait(lambda: 0 < self.unread() < 60)
        self.assertGreater(self.below(), 500)
        self.click(".latest")
        self.wait(lambda: self.unread() == 0)
        # People lie over the messages.
        self.click("#details-button")
        self.one(".details h2")
        self.post("bob", "under the people")
        self.wait_for("under the people")
        self.driver.execute_async_script("setTimeout(arguments[0], 500)")
        self.assertEqual(self.unread(), 1)
        self.press(Keys.ALT, "p")
        self.wait(lambda: self.unread() == 0)

    def test_in_a_narrow_window_a_link_to_a_message_leads_there(self):
        for number in range(40):
            self.post("bob", f"line {number + 1}")
        self.driver.set_window_size(500, 800)
        self.log_in("alice")
        self.wait(lambda: self.all("#m3"))
        self.go("#/general/3")
        self.wait(lambda: self.focused() == "m3")
        self.wait(lambda: self.unread() < 40)
        self.assertGreater(self.below(), 500)

    def test_the_end_is_followed_after_two_people_wrote_at_once_and_after_an_absence(self):
        for number in range(30):
            self.post("bob", f"{number}\nof two lines")
        self.log_in("alice")
        self.wait_rows(30)
        self.click(".latest")
        self.wait(lambda: self.below() == 0)
        # The answer to what is sent comes before the news of what others sent.
        self.hold("/v1/sync")
        self.post("bob", "makes the page ask again")
        self.wait_held(1)
        self.post("bob", "at the same time")
        self.say("of alice")
        self.wait(lambda: self.texts()[-2:] == ["at the same time", "of alice"])
        self.wait_sent()
        self.wait(lambda: self.below() <= 1)
        self.js("window.fetch = window.real")
        self.release(0)
        for number in range(3):
            self.post("bob", f"later {number}")
        self.wait_for("later 2")
        self.wait(lambda: self.below() <= 1)
        # After an absence, what is missing is fetched.
        self.cut()
        self.post("bob", "while away")
        self.js("const now = Date.now; Date.now = () => now() + 3_600_000")
        self.join()
        self.wait_for("while away")
        self.wait(lambda: self.below() <= 1)
        # Who has scrolled up stays there.
        self.js("document.querySelector('.scroller').scrollTop -= 300")
        self.wait(lambda: self.below() > 200)
        self.hold("/v1/sync")
        self.post("bob", "again")
        self.wait_held(1)
        self.ask("alice", "POST", "/v1/messages", {"conversation": "general", "text": "of another device"})
        self.release(0)
        self.wait_for("of another device")
        self.assertGreater(self.below(), 200)

    def test_of_two_jumps_the_last_one_wins_and_a_failed_one_is_tried_again(self):
        for number in range(300):
            self.post("bob", f"line {number + 1}")
        self.ask("alice", "PUT", "/v1/conversations/general/read", {"seq": 300})
        self.log_in("alice")
        self.wait_for("line 300")
        self.hold("around=")
        self.go("#/general/60")
        self.wait_held(1)
        self.go("#/general/150")
        self.wait_held(2)
        self.release(0)
        self.release(1)
        self.wait(lambda: self.focused() == "m150")
        self.assertTrue(self.driver.current_url.endswith("#/general/150"))
        # The answers come in the other order, or the last place is in the window.
        self.go("#/general/20")
        self.wait_held(3)
        self.go("#/general/151")
        self.wait(lambda: self.focused() == "m151")
        self.release(2)
        self.driver.execute_async_script("setTimeout(arguments[0], 300)")
        self.assertEqual(self.focused(), "m151")
        # Retry leads to the target, not to the rows around the window.
        fail = "window.fetch = (...values) => String(values[0]).includes('around=') ? Promise.reject(new TypeError('cut')) : real(...values)"
        self.js(fail)
        self.go("#/general/20")
        self.one(".failed")
        self.js("window.fetch = real")
        self.click(".failed .link")
        self.wait(lambda: self.focused() == "m20")
        # So it does where nothing was open yet.
        self.go("#/,settings")
        self.one("form.panel")
        self.js(fail)
        self.go("#/general/100")
        self.one(".failed")
        self.js("window.fetch = real")
        self.click(".failed .link")
        self.wait(lambda: self.focused() == "m100")

    def test_what_is_sent_while_scrolled_up_and_offline_is_seen(self):
        for number in range(200):
            self.post("bob", f"line {number + 1}")
        self.log_in("alice", address="#/general/50")
        self.wait(lambda: self.focused() == "m50")
        self.cut()
        self.say("from far away")
        self.wait(lambda: "not sent yet" in self.one(".row.pending").text)
        self.assertTrue(self.js("""
            const row = document.querySelector('.pending').getBoundingClientRect();
            const scroller = document.querySelector('.scroller').getBoundingClientRect();
            return row.top > scroller.top && row.bottom <= scroller.bottom;"""))
        self.join()
        self.wait_sent()
        self.wait(lambda: self.texts()[-2:] == ["line 200", "from far away"])
        self.wait(lambda: self.below() <= 1)

    def test_arrow_up_edits_the_newest_own_message_wherever_the_window_is(self):
        self.post("alice", "an old one")
        for number in range(200):
            self.post("bob", f"line {number + 1}")
        self.post("alice", "the newest")
        self.log_in("alice", address="#/general/5")
        self.wait(lambda: self.focused() == "m5")
        self.field().send_keys(Keys.ARROW_UP)
        self.wait(lambda: self.field().get_property("value") == "the newest")
        self.wait(lambda: "Edit message 202 the newest" in self.one(".banner").text)

    def test_each_run_of_a_sender_begins_with_the_name(self):
        for text in ["a secret", "after it"]:
            self.post("bob", text)
        self.log_in("alice")
        self.wait_rows(2)
        named = lambda: self.js("return [...document.querySelectorAll('.row .sender')].map((one) => one.getBoundingClientRect().width > 1 && one.innerText)")
        self.assertEqual(named(), ["bob", False])
        self.ask("alice", "POST", "/v1/admin/erase", {"conversation": "general", "seqs": [1]})
        self.wait(lambda: named()[1] == "bob")
        # An event does not continue a text.
        self.ask("alice", "POST", "/v1/groups", {"name": "garden"})
        self.post("alice", "hello", "garden")
        self.ask("alice", "PATCH", "/v1/groups/garden", {"retain": "90d"})
        self.go("#/garden")
        self.wait_rows(3)
        self.assertEqual(named()[-1], "alice")

    def test_the_buttons_and_the_focus_of_a_row_outlive_its_changes(self):
        self.post("alice", "of alice")
        self.log_in("alice")
        self.wait_rows(1)
        ActionChains(self.driver).move_to_element(self.one("#m1 .bubble")).perform()
        self.one("#m1 [aria-label=Edit]")
        self.post("alice", "edited", kind="edit", about=1)
        self.wait_for("edited")
        self.one("#m1 [aria-label=Edit]")
        self.focus_row(1)
        self.one("#m1 [aria-label=Delete]").send_keys(Keys.ENTER)
        self.one("dialog .danger").send_keys(Keys.ENTER)
        self.wait_for("(deleted)")
        self.wait(lambda: self.focused() == "m1")
        # A deleted message has a link, and cannot be edited.
        self.one("#m1 [aria-label='Copy the link to message 1']")
        self.assertEqual(self.all("#m1 [aria-label=Edit], #m1 [aria-label=Delete]"), [])

    def test_an_admin_of_a_group_can_delete_what_others_wrote(self):
        self.ask("bob", "POST", "/v1/groups", {"name": "garden"})
        self.ask("bob", "PUT", "/v1/groups/garden/members/%D0%9C%D0%B0%D1%88%D0%B0", {})
        seq = self.post("Маша", "weeds", "garden")["seq"]
        self.log_in("bob", address="#/garden")
        self.wait_for("weeds")
        self.focus_row(seq)
        self.one(f"#m{seq} [aria-label=Delete]").send_keys(Keys.ENTER)
        self.click("dialog .danger")
        self.wait_for("(deleted)")
        # A member that is no admin cannot.
        self.ask("bob", "PUT", "/v1/groups/garden/members/%D0%9C%D0%B0%D1%88%D0%B0", {"admin": True})
        self.ask("Маша", "PUT", "/v1/groups/garden/members/bob", {"admin": False})
        seq = self.post("Маша", "flowers", "garden")["seq"]
        self.wait_for("flowers")
        self.focus_row(seq)
        self.one(f"#m{seq} [aria-label=Reply]")
        self.assertEqual(self.all(f"#m{seq} [aria-label=Delete]"), [])

    def test_rows_that_are_not_kept_any_more_go(self):
        lines = [json.dumps({"ts": 1_500_000_000_000 + at, "sender": "old", "text": f"old {at}"}) for at in range(5)]
        self.server.operate("import", "general", "-", input="\n".join(lines) + "\n")
        self.post("bob", "fresh")
        self.log_in("alice")
        self.wait_rows(6)
        self.assertEqual(self.all(".start:not([hidden])"), [])
        self.server.operate("retain", "general", "365d")
        # That alone ends no wait for news.
        self.post("bob", "later")
        self.wait(lambda: self.texts() == ["fresh", "later"])
        self.assertEqual(self.one(".start:not([hidden])").text, "Older messages are not kept")
        self.assertEqual(self.texts(".row .day"), ["Today"])

    def test_what_was_today_is_yesterday_after_midnight(self):
        evening = int(time.time() * 1000) - 86_400_000
        self.server.operate("import", "general", "-", input=json.dumps({"ts": evening, "sender": "old", "text": "of the evening"}) + "\n")
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": """
            const Real = Date;
            window.behind = 86_400_000;
            Date = class extends Real {
                constructor(...values) { super(...(values.length > 0 ? values : [Real.now() - behind])); }
                static now() { return Real.now() - behind; }
            };"""})
        self.log_in("alice")
        self.wait(lambda: self.texts(".row .day") == ["Today"])
        self.js("window.behind = 0")
        self.post("bob", "of the morning")
        self.wait(lambda: self.texts(".row .day") == ["Yesterday", "Today"])

    def test_numbers_are_written_as_in_the_language_that_was_chosen(self):
        self.post("bob", "слово " * 5600)
        self.log_in("alice")
        self.js("localStorage.setItem('natter:language', '\"ru\"')")
        self.driver.refresh()
        self.wait(lambda: self.texts(".unfold") == ["Показать целиком (символов: 33\u00a0600)"])

    def test_a_page_from_before_a_deletion_does_not_show_the_text(self):
        self.post("bob", "a secret")
        self.post("bob", "two")
        self.log_in("alice", address="#/general")
        self.wait_rows(2)
        self.ask("alice", "POST", "/v1/groups", {"name": "team"})
        self.go("#/team")
        self.wait(lambda: "a secret" not in self.texts())
        # The answer of the server is there, but the page gets it after the news of the deletion.
        self.js("""window.real = window.fetch; window.late = [];
            window.fetch = async (...values) => {
                const answer = await real(...values);
                if (!late.length && `${values[0]}`.includes('general/messages')) await new Promise((go) => late.push(go));
                return answer;
            };""")
        self.go("#/general")
        self.wait(lambda: self.js("return late.length") == 1)
        self.post("bob", None, kind="delete", about=1)
        self.post("bob", "three")
        self.wait(lambda: any("three" in one.text for one in self.all(".conversation")))
        self.js("late[0]()")
        self.wait(lambda: self.texts() == ["(deleted)", "two", "three"])

    def test_older_messages_come_after_a_failure_and_a_clock_that_is_put_back(self):
        for number in range(200):
            self.post("bob", f"{number}: " + "words " * 60)
        self.log_in("alice", address="#/general/195")
        self.wait(lambda: self.all("#m195"))
        up = lambda: self.js("const one = document.querySelector('.scroller'); one.scrollTop = one.scrollTop > 0 ? 0 : 300")
        self.js("window.real = fetch; window.fetch = (...values) => String(values[0]).includes('/messages?') ? Promise.reject(new TypeError('cut')) : real(...values)")
        self.wait(lambda: up() or self.all(".failed"))
        self.js("window.fetch = window.real; const now = Date.now; Date.now = () => now.call(Date) - 3_600_000")
        self.wait(lambda: up() or self.all("#m1"))

    def test_one_line_says_where_new_messages_begin_however_they_are_reached(self):
        for number in range(1, 121):
            self.post("bob", f"{number}: " + "words " * 30)
        self.ask("alice", "PUT", "/v1/conversations/general/read", {"seq": 20})
        self.log_in("alice", address="#/general/120")
        self.wait(lambda: self.all("#m120"))
        up = lambda: self.js("const one = document.querySelector('.scroller'); one.scrollTop = one.scrollTop > 0 ? 0 : 300")
        self.wait(lambda: up() or self.all("#m1"))
        self.assertEqual(self.js("return [...document.querySelectorAll('.unread-line')].map((one) => one.parentElement.id)"), ["m21"])

    def test_lists_and_quotes_show_emoji_as_the_messages_do(self):
        text = "I ❤️ this 👨‍👩‍👧 می‌خواهم\tnow"
        self.post("bob", text)
        self.post("bob", "yes", about=1)
        self.log_in("alice")
        self.wait(lambda: self.texts(".quote .quote-text") == [text.replace("\t", " ")])
        self.post("bob", "x" * 79 + "😀")
        self.wait(lambda: self.texts(".conversation-last") == ["bob: " + "x" * 79])

    def test_people_give_way_to_another_view_in_a_narrow_window(self):
        self.driver.set_window_size(700, 800)
        self.log_in("alice", address="#/general")
        self.click("#details-button")
        self.one(".details h2")
        self.go("#/,settings")
        self.wait(lambda: self.all("#token-scope") and not self.one(".details").is_displayed())

    def test_each_absence_has_a_line_where_new_messages_begin(self):
        self.post("bob", "old")
        self.log_in("alice")
        self.wait_rows(1)
        below = lambda: self.js("return [...document.querySelectorAll('.unread-line')].map((one) => one.parentElement.querySelector('.text').innerText)")
        self.js("window.isHere = true; document.hasFocus = () => isHere; dispatchEvent(new Event('focus'))")
        for number in range(2):
            self.wait(lambda: self.unread() == 0)
            self.js("isHere = false")
            for part in ("first", "second"):
                self.post("bob", f"{part} of absence {number}")
                self.wait_for(f"{part} of absence {number}")
            self.assertEqual(below(), [f"first of absence {number}"])
            self.js("isHere = true; dispatchEvent(new Event('focus'))")
