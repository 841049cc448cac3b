"""The page for everyone: WCAG 2.2 AA, both languages and themes, narrow windows, and the keyboard alone."""
import os
import unittest

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from world import PageTest

try:
    import axe_core_python
    AXE = open(os.path.join(os.path.dirname(axe_core_python.__file__), "axe.min.js"), encoding="utf8").read()
except ImportError:
    AXE = None

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
VIEWS = ["#/general", "#/@bob", "#/garden", "#/,search?q=hello", "#/,settings", "#/,admin/status", "#/,admin/users", "#/,admin/invites", "#/,admin/log"]
DIALOGS = {"Ctrl K": (Keys.CONTROL, "k"), "Ctrl /": (Keys.CONTROL, "/"), "Ctrl G": (Keys.CONTROL, "g"), "Alt S": (Keys.ALT, "s")}


class AccessTests(PageTest):
    def setUp(self):
        super().setUp()
        bob = self.server.login("bob")
        alice = self.server.login("alice")
        self.server.ask("POST", "/v1/groups", {"name": "garden"}, alice)
        for number in range(3):
            self.server.ask("POST", "/v1/messages", {"conversation": "general", "text": f"hello {number} https://example.org/a"}, bob)
        self.server.ask("POST", "/v1/messages", {"conversation": "general", "text": "an answer", "about": 1}, alice)
        self.server.ask("POST", "/v1/messages", {"conversation": "@alice", "text": "hello"}, bob)

    def look(self, language, theme, width):
        self.driver.set_window_size(width, 800)
        self.driver.execute_script("localStorage.setItem('natter:language', JSON.stringify(arguments[0])); localStorage.setItem('natter:theme', JSON.stringify(arguments[1]))", language, theme)

    def show(self, view):
        self.open(view)
        self.driver.refresh()
        self.wait(lambda: self.all(".view .row, .page-body, .entrance, .view .composer"))
        self.wait(lambda: not self.all(".waiting"))

    def axe(self, place="html"):
        if not self.driver.execute_script("return typeof axe !== 'undefined'"):
            self.driver.execute_script(AXE)
        return self.driver.execute_async_script("axe.run(arguments[1], {runOnly: arguments[0]}).then(arguments[2], (error) => arguments[2]({violations: [{id: String(error), nodes: []}]}))", TAGS, place)["violations"]

    def violations(self):
        return [f"{one['id']}: {one['nodes'][0]['html'][:160] if one['nodes'] else ''} ({len(one['nodes'])})" for one in self.axe()]

    def each_look(self):
        """Each width with each theme and language, and each theme with each language: four of the eight have all these pairs."""
        for width, theme, language in ((1280, "light", "en"), (1280, "dark", "ru"), (320, "light", "ru"), (320, "dark", "en")):
            self.look(language, theme, width)
            yield width, theme, language

    @unittest.skipIf(AXE is None, "axe-core is not there")
    def test_axe_finds_nothing_in_any_view(self):
        self.open()
        found = {}
        for look in self.each_look():
            self.show("")
            found[(*look, "login")] = self.violations()
        self.log_in("alice")
        for look in self.each_look():
            for view in VIEWS:
                self.show(view)
                found[(*look, view)] = self.violations()
        self.look("en", "light", 1280)
        self.show("#/general")
        self.wait(lambda: self.all(".row"))
        self.click("#details-button")
        self.wait(lambda: self.all(".details .person"))
        found["people"] = self.violations()
        for name, keys in DIALOGS.items():
            self.press(*keys)
            self.one("dialog")
            found[name] = self.violations()
            self.press(Keys.ESCAPE)
            self.wait(lambda: not self.all("dialog"))
        self.assertEqual({view: one for view, one in found.items() if one}, {})

    def test_nothing_scrolls_sideways_at_320_pixels_nor_with_wide_spacing(self):
        self.log_in("alice")
        self.look("ru", "light", 320)
        for view in VIEWS:
            self.show(view)
            # 1.4.12: the spacing that readers may ask for.
            self.driver.execute_script("const sheet = new CSSStyleSheet(); sheet.replaceSync('* {line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important}'); document.adoptedStyleSheets = [sheet]")
            self.wait(lambda: view not in ("#/,settings", "#/,admin/users") or self.all("table"))
            wide = self.driver.execute_script("return [...document.querySelectorAll('html, .center, .page, .scroller')].filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.className || one.tagName)")
            self.assertEqual(wide, [], view)

    def test_targets_have_24_pixels_and_the_focus_is_seen(self):
        self.log_in("alice")
        self.show("#/general")
        small = self.driver.execute_script("""
            return [...document.querySelectorAll('button, .icon-button, input, select, .conversation')].filter((one) => one.checkVisibility())
                .map((one) => [one.outerHTML.slice(0, 90), one.getBoundingClientRect()]).filter(([, box]) => box.width > 0 && (box.width < 24 || box.height < 24)).map(([html]) => html)""")
        self.assertEqual(small, [])
        seen = set()
        for _ in range(40):
            self.press(Keys.TAB)
            what, outline, isCovered, isBody = self.driver.execute_script("""
                const one = document.activeElement;
                const box = one.getBoundingClientRect();
                const there = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
                return [one.getAttribute('aria-label') || one.textContent.slice(0, 30), getComputedStyle(one).outlineStyle, one !== document.body && !(one.contains(there) || there?.contains(one)), one === document.body]""")
            seen.add(what)
            # After the last control, the browser's own ones have the focus.
            if not isBody:
                self.assertNotEqual(outline, "none", what)
                self.assertFalse(isCovered, what)
        for name in ["In a shell", "New conversation", "Settings", "People and details", "Send"]:
            self.assertIn(name, seen)

    def test_messages_are_reached_and_answered_by_keyboard(self):
        self.log_in("alice")
        self.wait(lambda: len(self.all(".row")) == 4)
        self.driver.execute_script("document.querySelector('.scroller').focus()")
        self.press(Keys.ARROW_UP)
        self.press(Keys.ARROW_UP)
        self.assertEqual(self.driver.switch_to.active_element.get_attribute("id"), "m3")
        self.press(Keys.TAB)
        while self.driver.switch_to.active_element.get_attribute("aria-label") != "Reply":
            self.press(Keys.TAB)
        self.press(Keys.ENTER)
        self.assertEqual(self.driver.switch_to.active_element, self.field())
        self.say("answered")
        self.wait_sent()
        self.assertEqual(self.server.ask("GET", "/v1/conversations/general/messages", token=self.server.login("bob"))["messages"][-1]["about"], 3)

    def test_news_are_announced_in_one_place(self):
        self.log_in("alice")
        self.server.ask("POST", "/v1/messages", {"conversation": "general", "text": "read this aloud"}, self.server.login("bob"))
        self.wait(lambda: "bob: read this aloud" in self.driver.execute_script("return document.getElementById('announcer').innerText"))
        self.assertEqual(self.all("[role=log]"), [])

    def test_the_language_changes_at_once_and_is_remembered(self):
        self.log_in("alice", address="#/,settings")
        self.click("button[lang=ru]")
        self.wait(lambda: self.one(".view-title h1").text == "Настройки")
        self.driver.refresh()
        self.wait(lambda: self.one(".view-title h1").text == "Настройки")
        self.assertEqual(self.driver.execute_script("return document.documentElement.lang"), "ru")

    def test_events_and_reasons_are_in_the_readers_language(self):
        alice = self.server.login("alice")
        self.server.ask("PATCH", "/v1/groups/garden", {"name": "park", "retain": "90d"}, alice)
        self.server.ask("PUT", "/v1/blocks/alice", token=self.server.login("bob"))
        self.log_in("alice")
        self.look("ru", "light", 1280)
        self.show("#/park")
        self.wait(lambda: any("срок хранения" in text or "переименовал(а)" in text for text in self.texts(".conversation-last")))
        self.wait(lambda: sorted(" ".join(text.split()[:-1]) for text in self.texts(".event-text")) == [
            "alice переименовал(а) группу из «garden» в «park»", "alice создал(а) группу", "alice срок хранения сообщений теперь 90 дней"])
        self.show("#/@bob")
        self.say("no")
        self.wait(lambda: "не отправлено: этот пользователь не принимает ваших сообщений" in self.one(".row.pending").text)

    def test_a_narrow_window_says_that_the_server_is_away_and_people_give_way(self):
        self.log_in("alice")
        self.look("en", "light", 320)
        self.show("#/general")
        self.wait(lambda: len(self.all(".row")) == 4)
        below = "return [...document.querySelectorAll('.meta')].filter((one) => one.getBoundingClientRect().bottom > one.closest('.bubble').getBoundingClientRect().bottom).length"
        self.assertEqual(self.driver.execute_script(below), 0, "times below their bubbles")
        self.click("#details-button")
        self.click(".details a[href='#/@Маша'], .details a[href='#/@%D0%9C%D0%B0%D1%88%D0%B0']")
        self.wait(lambda: self.field().get_attribute("aria-label") == "Message to @Маша" and self.field().is_displayed())
        self.wait(lambda: not self.one(".details").is_displayed())
        self.assertFalse(self.one(".status").is_displayed())
        self.server.kill()
        self.wait(lambda: "Offline since" in self.one(".status").text)
        self.click(".status")
        self.server.start()
        self.wait(lambda: not self.one(".status").is_displayed())

    @unittest.skipIf(AXE is None, "axe-core is not there")
    def test_1_4_3_a_message_that_waits_can_be_read(self):
        self.log_in("alice")
        self.server.freeze()
        self.say("on its way")
        self.wait(lambda: "sending…" in self.one(".row.pending").text)
        for theme in ("light", "dark"):
            self.driver.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
            self.assertEqual(self.axe(".pending"), [], theme)

    def test_nothing_goes_wrong_in_the_console(self):
        self.log_in("alice")
        for view in VIEWS:
            self.show(view)
        said = [entry["message"] for entry in self.driver.get_log("browser") if "401" not in entry["message"]]
        self.assertEqual(said, [])


if __name__ == "__main__":
    unittest.main()
