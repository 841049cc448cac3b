"""How people come in and go out: registering, logging in and out, sessions, passwords."""
import unittest
import urllib.error

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from world import PASSWORD, PageTest


class EntranceTests(PageTest):
    def test_registers_and_says_while_typing_whether_a_name_is_free(self):
        self.open()
        self.wait(lambda: self.driver.find_element(By.XPATH, "//button[.='Create an account']").click() or True)
        name = self.one("[name=username]")
        name.send_keys("bob")
        self.wait(lambda: "bob is taken" in self.texts(".hint"))
        name.clear()
        name.send_keys("dora")
        self.wait(lambda: "dora is free" in self.texts(".hint"))
        self.one("[name=password]").send_keys(PASSWORD + Keys.ENTER)
        self.one(".composer textarea")
        # The session is a cookie, and no script can read one.
        self.assertEqual(self.driver.execute_script("return [document.cookie, Object.values({...localStorage, ...sessionStorage}).join().includes('token')]"), ["", False])
        self.driver.refresh()
        self.assertEqual(self.one(".me b").text, "dora")

    def test_a_wrong_password_is_told_and_keeps_the_form(self):
        self.open()
        self.one("[name=username]").send_keys("alice")
        self.one("[name=password]").send_keys("wrong password" + Keys.ENTER)
        self.wait(lambda: "the name or the password is wrong" in self.one("[role=alert]").text)
        self.assertEqual(self.one("[name=username]").get_property("value"), "alice")

    def test_two_people_fit_into_two_tabs(self):
        self.open()
        self.press_button("Create an account")
        self.enter("dora")
        first = self.driver.current_window_handle
        second = self.new_tab()
        # The cookie is dora's, so this tab is hers until she gives it away.
        self.open("#/,settings")
        self.press_button("Another account in this tab")
        # She may change her mind.
        self.press_button("Back to dora")
        self.press_button("Another account in this tab")
        self.assertFalse(self.one("[name=stay]").is_selected())
        self.press_button("Create an account")
        self.enter("emil", stays=False)
        self.open("#/general")
        self.say("from emil")
        self.wait_sent()
        self.driver.switch_to.window(first)
        self.wait_for("from emil")
        self.say("from dora")
        self.wait_sent()
        self.driver.refresh()
        self.assertEqual(self.one(".me b").text, "dora")
        self.driver.switch_to.window(second)
        self.wait_for("from dora")
        self.assertEqual(self.one(".me b").text, "emil")
        # Loaded again, emil's tab asks for emil, and is not dora's.
        self.driver.refresh()
        self.assertEqual(self.one("[name=username]").get_property("value"), "emil")
        self.assertFalse(self.one("[name=stay]").is_selected())
        self.assertEqual(self.all(".row"), [])

    def test_logout_empties_all_tabs_of_the_account(self):
        self.log_in("alice")
        self.say("a secret")
        self.wait_sent()
        first = self.driver.current_window_handle
        self.new_tab()
        self.open("#/,settings")
        self.wait(lambda: self.driver.find_element(By.XPATH, "//button[.='Log out']").click() or True)
        self.one("[name=password]")
        self.driver.switch_to.window(first)
        self.one("[name=password]")
        self.assertNotIn("a secret", self.driver.page_source)
        self.assertEqual(self.driver.execute_script("return Object.keys(localStorage).filter((name) => name.includes('alice'))"), [])

    def test_logout_in_a_tab_with_its_own_session_ends_the_cookies_session_too(self):
        self.log_in("alice")
        first = self.driver.current_window_handle
        self.new_tab()
        self.open("#/,settings")
        self.press_button("Another account in this tab")
        self.enter("alice", stays=False)
        self.press_button("Log out")
        self.driver.switch_to.window(first)
        self.one("[name=password]")
        # Of the three sessions, the one that asks is left.
        token = self.server.login("alice")
        self.wait(lambda: len(self.server.ask("GET", "/v1/sessions", token=token)["sessions"]) == 1, "ended")
        self.driver.refresh()
        self.one("[name=password]")

    def test_an_edit_under_way_outlives_a_reload_and_the_end_of_the_session(self):
        self.log_in("alice")
        self.say("as it was")
        self.wait_sent()
        self.field().send_keys("a new thought")
        row = self.one(".row")
        self.driver.execute_script("arguments[0].focus()", row)
        self.click("[aria-label='Edit']")
        self.field().send_keys(", but better")
        self.driver.refresh()
        self.wait(lambda: self.field().get_property("value") == "as it was, but better")
        self.assertIn("Edit message", self.one(".banner").text)
        self.server.ask("POST", "/v1/logout", {"all": True}, self.server.login("alice"))
        self.one("[name=password]").send_keys(PASSWORD + Keys.ENTER)
        self.wait(lambda: self.field().get_property("value") == "as it was, but better")
        self.field().send_keys(Keys.ENTER)
        # What was written before the edit is there again.
        self.wait(lambda: self.field().get_property("value") == "a new thought")
        self.wait(lambda: self.texts() == ["as it was, but better"])
        self.assertEqual(self.all(".banner:not([hidden])"), [])

    def test_a_session_that_ends_elsewhere_asks_again_and_keeps_the_draft(self):
        self.log_in("alice")
        self.field().send_keys("half a thought")
        token = self.server.login("alice")
        self.server.ask("POST", "/v1/logout", {"all": True}, token)
        self.one("[name=password]")
        self.assertIn("The session has ended", self.one(".notice").text)
        self.assertNotIn("half a thought", self.driver.page_source)
        self.one("[name=password]").send_keys(PASSWORD + Keys.ENTER)
        self.wait(lambda: self.field().get_property("value") == "half a thought")


    def test_the_password_sessions_and_tokens_are_changed_in_the_settings(self):
        fresh = "another good password"
        other = self.server.login("alice")
        lists = lambda kind: self.server.ask("GET", f"/v1/{kind}", token=other)[kind]
        self.log_in("alice", address="#/,settings")
        # A token for a program is shown once, works, and is revoked.
        self.wait(lambda: self.driver.find_element(By.XPATH, "//label[.='What for']/following::input").send_keys("backup") or True)
        self.press_button("Make a token")
        token = self.one("code.command").text
        self.assertEqual(self.server.ask("GET", "/v1/whoami", token=token)["name"], "alice")
        self.press_button("Revoke")
        self.wait(lambda: lists("tokens") == [], "revoked")
        # Another session is ended; this one stays.
        spare = self.server.login("alice")
        self.driver.refresh()
        self.wait(lambda: len([one for one in self.all("button") if one.text == "End"]) == 2)
        self.press_button("End")
        self.wait(lambda: len([one for one in self.all("button") if one.text == "End"]) == 1)
        old, new = self.all("form.panel [type=password]")
        old.send_keys("wrong password")
        new.send_keys(fresh + Keys.ENTER)
        self.wait(lambda: self.driver.switch_to.active_element.get_attribute("autocomplete") == "current-password")
        old.clear()
        old.send_keys(PASSWORD)
        self.press_button("Change password")
        self.wait(lambda: "The password is changed" in self.one("form.panel [role=status]").text)
        for ended in (other, spare):
            with self.assertRaises(urllib.error.HTTPError):
                self.server.ask("GET", "/v1/whoami", token=ended)
        self.assertEqual(self.server.ask("POST", "/v1/login", {"name": "alice", "password": fresh})["name"], "alice")
        self.driver.refresh()
        self.assertEqual(self.one(".me b").text, "alice")

    def test_a_browser_that_blocks_all_storage_has_the_page(self):
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": """
            const refuse = () => { throw new DOMException('refused', 'SecurityError'); };
            window.BroadcastChannel = class { constructor() { refuse(); } };
            for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name, { get: refuse });
            navigator.locks.request = async () => refuse();"""})
        self.log_in("alice", stays=False)
        self.say("hello")
        self.wait_sent()
        self.wait_for("hello")


if __name__ == "__main__":
    unittest.main()
