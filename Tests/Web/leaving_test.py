"""What stays of somebody who logs out or whose session ends: nothing for others, and nothing of others is lost."""
from selenium.webdriver.common.keys import Keys

from world import PASSWORD, PageTest

KEPT = "return Object.keys(localStorage).filter((name) => name.includes('draft') || name.includes('outbox')).length"
BUSY = """
    const whole = fetch;
    fetch = (path, options) => String(path) === '/v1/messages' && options.method === 'POST'
        ? Promise.resolve(new Response('{"error":{"code":"busy","message":"busy"}}', {status: 503})) : whole(path, options);"""


class LeavingTests(PageTest):
    def settings(self, button):
        self.driver.execute_script("location.hash = '#/,settings'")
        self.press_button(button)

    def test_the_next_one_in_a_tab_sees_nothing_of_the_one_before(self):
        self.log_in("alice", address="#/@bob")
        self.say("my secret")
        self.wait_sent()
        self.server.ask("POST", "/v1/password", {"old": PASSWORD, "new": "another good one"}, self.server.login("alice"))
        self.enter("bob")
        self.assertEqual(self.driver.execute_script("return location.hash"), "")
        self.press(Keys.ALT, "s")
        self.assertNotIn("secret", self.one("dialog .command").text)

    def test_nothing_that_was_read_aloud_stays_after_a_logout(self):
        self.log_in("alice")
        self.server.ask("POST", "/v1/messages", {"conversation": "general", "text": "a secret"}, self.server.login("bob"))
        self.wait(lambda: "a secret" in self.one("#announcer").get_attribute("textContent"))
        self.settings("Log out")
        self.one("[name=password]")
        self.assertEqual(self.one("#announcer").get_attribute("textContent"), "")

    def test_a_logout_asks_before_it_deletes_what_is_not_sent(self):
        self.log_in("alice")
        self.driver.execute_script(BUSY)
        self.say("unsent")
        self.wait(lambda: "1 message waits" in self.one(".status").text)
        self.settings("Log out")
        self.wait(lambda: self.texts("dialog h2") == ["1 message is not sent yet"])
        self.press_button("Cancel")
        self.wait(lambda: not self.all("dialog"))
        self.assertEqual(self.driver.execute_script(KEPT), 1)
        self.settings("Log out")
        self.click("dialog .danger")
        self.one("[name=password]")
        self.assertEqual(self.driver.execute_script(KEPT), 0)

    def test_a_logout_that_a_closed_tab_had_begun_deletes_nothing_in_another_tab(self):
        self.log_in("alice")
        closed = self.driver.current_window_handle
        other = self.new_tab()
        self.open()
        self.one(".status.live")
        self.field().send_keys("a long draft")
        self.wait(lambda: self.driver.execute_script(KEPT) == 1)
        self.driver.execute_script("""
            const later = setTimeout;
            setTimeout = (action, ms, ...rest) => later(() => { action(); if (ms === 30_000) window.lapsed = true; }, ms === 30_000 ? 200 : ms, ...rest)""")
        self.driver.switch_to.window(closed)
        self.driver.execute_script("""
            const whole = fetch;
            fetch = (path, options) => String(path).includes('logout') ? new Promise(() => {}) : whole(path, options)""")
        self.settings("Log out")
        self.driver.switch_to.window(other)
        self.wait(lambda: self.driver.execute_script("return window.lapsed"))
        self.driver.switch_to.window(closed)
        self.driver.close()
        self.driver.switch_to.window(other)
        token = self.server.login("alice")
        for session in self.server.ask("GET", "/v1/sessions", token=token)["sessions"]:
            if not session.get("current"):
                self.server.ask("DELETE", "/v1/sessions/" + session["id"], token=token)
        self.one("[name=password]")
        self.assertEqual(self.driver.execute_script(KEPT), 1)

    def test_a_logout_keeps_what_belongs_to_a_name_that_begins_the_same(self):
        self.server.operate("user", "add", "bob:x", "--password-stdin", input=PASSWORD + "\n")
        self.log_in("bob:x", stays=False)
        self.field().send_keys("a draft")
        self.wait(lambda: self.driver.execute_script(KEPT) == 1)
        self.new_tab()
        self.log_in("bob")
        self.settings("Log out")
        self.one("[name=password]")
        self.assertEqual(self.driver.execute_script(KEPT), 1)
