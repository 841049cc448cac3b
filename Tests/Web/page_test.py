"""What people do with the page, in a real browser."""
import time
import unittest

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from world import PASSWORD, PageTest


class MessageTests(PageTest):
    def test_writes_replies_edits_and_deletes(self):
        self.log_in("alice")
        token = self.server.login("bob")
        self.say("one")
        self.wait_sent()
        self.server.ask("POST", "/v1/messages", {"conversation": "general", "text": "two", "about": 1}, token)
        self.wait_for("two")
        self.assertIn("one", self.one("#m2 .quote").text)
        self.click("#m2 .quote")
        self.wait(lambda: self.driver.switch_to.active_element.get_attribute("id") == "m1")
        self.say("tre")
        self.wait_sent()
        self.field().send_keys(Keys.ARROW_UP)
        self.assertEqual(self.field().get_property("value"), "tre")
        self.field().clear()
        self.say("three")
        self.wait_for("three")
        self.assertIn("(edited)", self.one("#m3").text)
        self.focus_row(1)
        self.click("#m1 [aria-label=Delete]")
        self.wait(lambda: self.driver.find_element(By.CSS_SELECTOR, "dialog .danger").click() or True)
        self.wait(lambda: "(deleted)" in self.one("#m1").text)
        self.wait(lambda: "(deleted)" in self.one(".conversation").text)
        self.driver.refresh()
        self.wait(lambda: self.texts() == ["(deleted)", "two", "three"], "as before")

    def test_a_message_is_there_once_after_the_server_was_away(self):
        self.log_in("alice")
        self.server.kill()
        self.say("through a storm")
        self.wait(lambda: "not sent yet" in self.one(".row.pending").text)
        self.wait(lambda: self.all(".status.offline"))
        # It tries again, and not at once.
        def tries():
            return self.driver.execute_script("return performance.getEntriesByName(location.origin + '/v1/messages').map((e) => e.startTime)")
        self.wait(lambda: len(tries()) > 1, "another try")
        self.assertGreater(tries()[1] - tries()[0], 250)
        self.server.start()
        self.click(".status")
        self.wait_sent()
        self.wait_for("through a storm", 1)
        page = self.server.ask("GET", "/v1/conversations/general/messages", token=self.server.login("bob"))
        self.assertEqual([message["text"] for message in page["messages"]], ["through a storm"])

    def test_a_message_that_waits_outlives_a_reload(self):
        self.log_in("alice")
        self.server.kill()
        self.say("kept")
        self.wait(lambda: "not sent yet" in self.one(".row.pending").text)
        self.server.start()
        self.driver.refresh()
        self.wait_for("kept", 1)
        self.wait_sent()
        page = self.server.ask("GET", "/v1/conversations/general/messages", token=self.server.login("bob"))
        self.assertEqual([message["text"] for message in page["messages"]], ["kept"])

    def test_a_draft_belongs_to_its_conversation_and_outlives_a_reload(self):
        self.log_in("alice")
        self.field().send_keys("for all")
        self.open("#/@bob")
        self.wait(lambda: self.field().get_attribute("aria-label") == "Message to @bob")
        self.assertEqual(self.field().get_property("value"), "")
        self.field().send_keys("for bob")
        self.driver.refresh()
        self.wait(lambda: self.field().get_property("value") == "for bob")
        self.open("#/general")
        self.wait(lambda: self.field().get_property("value") == "for all")

    def test_hostile_texts_are_only_texts(self):
        token = self.server.login("bob")
        for text in ["<img src=x onerror=alert(1)>", "a\u202eb", "javascript:alert(1)", "http://bank.example@evil.example/", "x" * 60_000]:
            self.server.ask("POST", "/v1/messages", {"conversation": "general", "text": text}, token)
        self.server.operate("import", "general", "-", input='{"ts":1600000000000,"sender":"<b>a\\u202eb","text":"of a hostile name"}\n')
        self.log_in("alice")
        self.wait(lambda: len(self.all(".row")) == 6)
        self.assertIn("<b>a\\u{202e}b", self.one("#m6 .sender").text)
        self.assertEqual(self.texts()[0], "<img src=x onerror=alert(1)>")
        self.assertEqual(self.one("#m2 .escape").text, "\\u{202e}")
        self.assertEqual(self.all("#m3 a"), [])
        link = self.one("#m4 a")
        self.assertEqual(link.get_attribute("rel"), "noopener noreferrer")
        self.assertIn("(evil.example)", self.one("#m4").text)
        self.assertLess(len(self.one("#m5 .text").text), 10_000)
        self.click("#m5 .unfold")
        self.wait(lambda: len(self.one("#m5 .text").text) == 60_000)

    def test_an_input_method_uses_enter_for_itself(self):
        self.log_in("alice")
        self.field().click()
        self.driver.execute_cdp_cmd("Input.imeSetComposition", {"text": "にほ", "selectionStart": 2, "selectionEnd": 2})
        self.driver.execute_script("arguments[0].dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', keyCode: 229, isComposing: true, bubbles: true, cancelable: true}))", self.field())
        self.driver.execute_cdp_cmd("Input.insertText", {"text": "日本"})
        self.assertEqual(self.field().get_property("value"), "日本")
        self.assertEqual(self.all(".row"), [])
        self.say("")
        self.wait_for("日本")


    def test_enter_sends_and_on_a_touch_screen_begins_a_line(self):
        # A narrow window shows the list or the conversation that the address names.
        self.log_in("alice", address="#/general")
        self.field().send_keys("one" + Keys.SHIFT + Keys.ENTER + Keys.NULL + "two")
        self.assertEqual(self.field().get_property("value"), "one\ntwo")
        self.press(Keys.ENTER)
        self.wait_for("one\ntwo")
        self.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 412, "height": 900, "deviceScaleFactor": 1, "mobile": True})
        self.wait(lambda: self.driver.execute_script("return matchMedia('(pointer: coarse) and (hover: none)').matches"))
        self.say("three")
        self.assertEqual(self.field().get_property("value"), "three\n")
        self.click(".send")
        self.wait_for("three")


class HistoryTests(PageTest):
    COUNT = 3000

    def setUp(self):
        super().setUp()
        lines = "".join('{"ts":%d,"sender":"old","text":"line %d%s"}\n' % (1_600_000_000_000 + number * 600_000, number, " and more" * (number % 40)) for number in range(1, self.COUNT + 1))
        self.server.operate("import", "general", "-", input=lines)
        token = self.server.login("alice")
        self.server.ask("PUT", "/v1/conversations/general/read", {"seq": self.COUNT}, token)

    def top(self):
        """The row at the top of the window, and where it is."""
        return self.driver.execute_script("""
            const scroller = document.querySelector('.scroller');
            const top = scroller.getBoundingClientRect().top;
            const row = [...document.querySelectorAll('.row')].find((one) => one.getBoundingClientRect().bottom > top + 2);
            return [row.id, row.getBoundingClientRect().top - top];""")

    def test_has_at_most_500_rows_and_goes_to_both_ends(self):
        self.log_in("alice")
        self.wait(lambda: self.all(f"#m{self.COUNT}"))
        for _ in range(12):
            first = self.one(".row").get_attribute("id")
            self.driver.execute_script("document.querySelector('.scroller').scrollTop = 600")
            self.wait(lambda: self.one(".row").get_attribute("id") != first or self.all("#m1"))
            self.assertLessEqual(len(self.all(".row")), 500)
        self.click(".latest")
        self.wait(lambda: self.all(f"#m{self.COUNT}"))
        self.assertLessEqual(len(self.all(".row")), 500)

    def test_nothing_is_missed_when_messages_come_while_the_window_is_scrolled(self):
        self.log_in("alice")
        self.wait(lambda: self.all(f"#m{self.COUNT}"))
        bob = self.server.login("bob")
        glide = """
            const [step, end, done] = arguments;
            const scroller = document.querySelector('.scroller');
            const move = () => { scroller.scrollTop += step; document.querySelector(end) ? done() : requestAnimationFrame(move); };
            move();"""
        numbers = lambda: self.driver.execute_script("return [...document.querySelectorAll('.row')].map((row) => Number(row.id.slice(1)))")
        # Fast enough that rows at the other end are given up.
        self.driver.execute_async_script(glide, -400, f"#m{self.COUNT - 700}")
        self.server.ask("POST", "/v1/messages", {"conversation": "general", "text": "came meanwhile"}, bob)
        above = numbers()
        self.assertEqual(above, list(range(above[0], above[0] + len(above))))
        self.assertEqual(self.all(f"#m{self.COUNT}"), [])
        self.driver.execute_async_script(glide, 400, f"#m{self.COUNT + 1}")
        self.server.ask("POST", "/v1/messages", {"conversation": "general", "text": "came at last"}, bob)
        self.wait_for("came at last")
        below = numbers()
        self.assertEqual(below, list(range(self.COUNT + 3 - len(below), self.COUNT + 3)))

    def test_the_row_that_is_read_stays_when_rows_come_and_the_window_changes(self):
        self.log_in("alice", address="#/general/1500")
        self.one("#m1500")
        settled = lambda: self.driver.execute_async_script("""
            const done = arguments[0];
            let rows = -1;
            const look = () => { const now = document.querySelectorAll('.row').length; if (now === rows) done(now); else { rows = now; setTimeout(look, 400); } };
            look();""")
        settled()
        row, before = self.top()
        self.server.ask("POST", "/v1/messages", {"conversation": "general", "text": "new below"}, self.server.login("bob"))
        settled()
        self.assertEqual(self.top()[0], row)
        self.assertAlmostEqual(self.top()[1], before, delta=1)
        self.driver.set_window_size(700, 900)
        settled()
        place = self.driver.execute_script(f"return document.getElementById('{row}').getBoundingClientRect().top - document.querySelector('.scroller').getBoundingClientRect().top")
        self.assertAlmostEqual(place, before, delta=1)

    def test_a_number_and_a_day_lead_to_their_place(self):
        self.log_in("alice")
        self.press(Keys.CONTROL, "g")
        self.one("dialog input").send_keys("777" + Keys.ENTER)
        self.wait(lambda: self.driver.switch_to.active_element.get_attribute("id") == "m777")
        self.assertTrue(self.driver.current_url.endswith("#/general/777"))
        # The first message of a day, of the reader's own clock.
        self.press(Keys.CONTROL, "g")
        self.one("dialog [type=date]")
        first, day = self.driver.execute_script("""
            const one = new Date(1_600_000_000_000 + 2000 * 600_000);
            const midnight = new Date(one.getFullYear(), one.getMonth(), one.getDate());
            const field = document.querySelector('dialog [type=date]');
            field.value = [one.getFullYear(), one.getMonth() + 1, one.getDate()].map((part) => String(part).padStart(2, '0')).join('-');
            field.form.requestSubmit();
            return [Math.ceil((midnight - 1_600_000_000_000) / 600_000), field.value];""")
        self.wait(lambda: self.driver.switch_to.active_element.get_attribute("id") == f"m{first}", day)

    def test_only_what_is_seen_is_marked_as_read(self):
        bob, token = self.server.login("bob"), self.server.login("alice")
        for number in range(60):
            self.server.ask("POST", "/v1/messages", {"conversation": "general", "text": f"{number}: " + "new words " * 60}, bob)
        unread = lambda: self.server.ask("GET", "/v1/conversations/general", token=token)["unread"]
        self.log_in("alice")
        # It opens at the line, and the rest is not seen yet.
        self.one(".unread-line")
        self.wait(lambda: unread() < 60)
        self.assertGreater(unread(), 20)
        # The list is made anew while it is read.
        self.wait(lambda: int(self.texts(".badge")[0].split()[0]) > 20)
        see = lambda state: self.driver.execute_script(f"Object.defineProperty(document, 'visibilityState', {{configurable: true, get: () => '{state}'}}); document.dispatchEvent(new Event('visibilitychange'))")
        see("hidden")
        self.click(".latest")
        self.wait(lambda: self.driver.switch_to.active_element.get_attribute("id") == f"m{self.COUNT + 60}")
        # Time enough for the page to mark it, if it would.
        self.driver.execute_async_script("setTimeout(arguments[0], 500)")
        self.assertGreater(unread(), 20)
        see("visible")
        self.wait(lambda: unread() == 0)
        self.wait(lambda: not self.all(".badge"))

    def test_search_leads_to_the_place_of_a_hit(self):
        self.log_in("alice", address="#/,search?q=1234")
        self.wait(lambda: len(self.all(".results a")) == 1)
        self.assertEqual(self.one(".results mark").text, "1234")
        self.click(".results a")
        self.wait(lambda: self.driver.switch_to.active_element.get_attribute("id") == "m1234")
        day = time.strftime("%Y-%m-%d", time.localtime(1_600_000_000 + 1234 * 600))
        for filters, found in [("from=bob", "Nothing found"), (f"from=old&c=general&since={day}&until={day}", "1 message found"), (f"until={day[:4]}-01-01", "Nothing found")]:
            self.open(f"#/,search?q=1234&{filters}")
            self.driver.refresh()
            self.wait(lambda: self.one(".page-body > [role=status]").text == found, filters)
        # A page that ends early, because the server looked at too much, is not the end.
        self.driver.execute_script("""
            const real = window.fetch;
            let early = 1;
            window.fetch = (...values) => String(values[0]).includes('/v1/search?') && early-- > 0
                ? Promise.resolve(new Response(JSON.stringify({messages: [], more: true, next: ''}))) : real(...values);
            const field = document.querySelector('[type=search]');
            field.value = '777';
            document.querySelectorAll('.panel [list], .panel [type=date]').forEach((one) => { one.value = ''; });
            field.form.requestSubmit();""")
        self.wait(lambda: self.one(".page-body > [role=status]").text == "1 message found")


class ManyTabsTests(PageTest):
    def test_of_ten_tabs_one_waits_and_all_see_what_comes(self):
        self.log_in("alice")
        tabs = [self.driver.current_window_handle]
        for _ in range(9):
            tabs.append(self.new_tab())
            self.open()
            self.one(".composer textarea")
        self.wait(lambda: self.server.waiting() == 1, "one waits")
        self.server.ask("POST", "/v1/messages", {"conversation": "general", "text": "to all tabs"}, self.server.login("bob"))
        for tab in tabs:
            self.driver.switch_to.window(tab)
            self.wait_for("to all tabs", 1)
        self.wait(lambda: self.server.waiting() == 1, "one waits")
        # The tab that waits is closed, and another one goes on.
        self.driver.switch_to.window(tabs[0])
        self.driver.close()
        self.driver.switch_to.window(tabs[1])
        self.server.ask("POST", "/v1/messages", {"conversation": "general", "text": "to nine tabs"}, self.server.login("bob"))
        self.wait_for("to nine tabs", 1)


class PeopleTests(PageTest):
    def test_a_group_is_made_filled_renamed_and_deleted(self):
        self.log_in("alice")
        self.click("#start")
        self.one("dialog form input").send_keys("garden" + Keys.ENTER)
        self.wait(lambda: self.driver.current_url.endswith("#/garden"))
        # Details are shown anew when its messages are there.
        self.wait(lambda: self.all(".row"))
        self.click("#details-button")
        add = self.one(".details form input")
        add.send_keys("bob" + Keys.ENTER)
        self.wait(lambda: self.all("[aria-label='Remove bob from the group']"))
        token = self.server.login("bob")
        names = [one["name"] for one in self.server.ask("GET", "/v1/conversations", token=token)["conversations"]]
        self.assertIn("garden", names)
        self.wait(lambda: self.driver.find_element(By.XPATH, "//button[.='Delete']").click() or True)
        self.click("dialog .danger")
        self.wait(lambda: self.driver.current_url.endswith("#/general"))

    def test_who_writes_first_appears_by_itself(self):
        self.log_in("alice")
        self.server.ask("POST", "/v1/messages", {"conversation": "@alice", "text": "hello alice"}, self.server.login("bob"))
        self.wait(lambda: any("hello alice" in text for text in self.texts(".conversation")))
        self.assertEqual(self.texts(".badge")[0].split()[0], "1")
        # So does a message that names the reader, in another conversation than the open one.
        self.open("#/@bob")
        self.wait(lambda: self.field().get_attribute("aria-label") == "Message to @bob")
        self.server.ask("POST", "/v1/messages", {"conversation": "general", "text": "Alice, look"}, self.server.login("bob"))
        mark = lambda: "you are mentioned" in self.one(".badge.mentioned").get_attribute("textContent")
        self.wait(mark)
        # It is marked after a reload, too, and not when only something later is unread.
        self.driver.refresh()
        self.wait(mark)
        alice = self.server.login("alice")
        self.server.ask("POST", "/v1/messages", {"conversation": "general", "text": "no names"}, self.server.login("bob"))
        self.server.ask("PUT", "/v1/conversations/general/read", {"seq": 1}, alice)
        self.wait(lambda: self.texts(".badge:not(.mentioned)")[0].split()[0] == "1" and not self.all(".mentioned"))

    def test_the_switcher_finds_by_keyboard_on_a_cyrillic_layout(self):
        self.log_in("alice")
        # A Cyrillic layout gives another letter at the place of K.
        self.driver.execute_script("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'л', code: 'KeyK', ctrlKey: true, bubbles: true, cancelable: true}))")
        self.one("dialog input").send_keys("маш")
        self.wait(lambda: "Маша" in self.one("[role=option]").text)
        self.one("dialog input").send_keys(Keys.ENTER)
        self.wait(lambda: self.field().get_attribute("aria-label") == "Message to @Маша")


class AdminTests(PageTest):
    options = ("--registration", "invite")

    def test_an_admin_invites_and_the_invited_registers(self):
        self.log_in("alice", address="#/,admin/invites")
        self.wait(lambda: self.driver.find_element(By.XPATH, "//button[.='Make an invitation']").click() or True)
        code = self.one("code.command").text
        self.open("#/,admin/users")
        self.wait(lambda: "bob" in self.one("table").text)
        self.open("#/,admin/status")
        self.wait(lambda: all(word in self.one("dl").text for word in ["who has an invitation", "Messages in a minute", "no limit"]))
        self.open("#/,admin/log")
        self.wait(lambda: any("invite_made" in text for text in self.texts(".log li")))
        self.open("#/,settings")
        self.wait(lambda: self.driver.find_element(By.XPATH, "//button[.='Log out']").click() or True)
        self.wait(lambda: self.driver.find_element(By.XPATH, "//button[.='Create an account']").click() or True)
        self.one("[name=username]").send_keys("emil")
        self.one("[name=password]").send_keys(PASSWORD + Keys.ENTER)
        self.wait(lambda: "ask an admin of this server for one" in self.one("form").text)
        self.one("[name=invite]").send_keys("wrong" + Keys.ENTER)
        self.wait(lambda: "this one is not good" in self.one("form").text)
        self.one("[name=invite]").clear()
        self.one("[name=invite]").send_keys(code + Keys.ENTER)
        self.one(".composer textarea")


if __name__ == "__main__":
    unittest.main()
