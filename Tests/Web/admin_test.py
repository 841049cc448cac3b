"""Administration and settings: errors that go away, rights that change, where the focus is, what is said in Russian."""
from datetime import UTC, datetime

from selenium.webdriver.common.keys import Keys

from world import PASSWORD, PageTest


class AdminTests(PageTest):
    def go(self, address):
        self.driver.execute_script("location.hash = arguments[0]", address)

    def focused(self):
        return self.driver.execute_script("const e = document.activeElement; return e.getAttribute('aria-label') ?? e.textContent")

    def use(self, selector):
        """Presses a button by the keyboard."""
        # What comes from the server may replace what was just found.
        self.wait(lambda: self.driver.execute_script("""
            const found = document.querySelector(arguments[0]);
            found?.focus();
            return found !== null && document.activeElement === found""", selector))
        self.driver.switch_to.active_element.send_keys(Keys.ENTER)

    def test_an_error_goes_away_with_the_next_success(self):
        self.log_in("alice", address="#/,admin/invites")
        self.wait(lambda: "No invitation is open" in self.texts(".hint"))
        self.driver.execute_script("""
            const whole = fetch;
            fetch = (path, options) => options.method === 'POST' ? (fetch = whole, Promise.reject(new TypeError('cut'))) : whole(path, options);""")
        self.press_button("Make an invitation")
        self.wait(lambda: self.texts(".page-body > .error") == ["the server cannot be reached"])
        self.press_button("Make an invitation")
        self.wait(lambda: self.texts(".page-body > .error") == [""])

    def test_a_form_that_is_sent_twice_at_once_is_sent_once(self):
        self.log_in("alice", address="#/,admin/invites")
        self.wait(lambda: "No invitation is open" in self.texts(".hint"))
        self.driver.execute_script("const form = document.querySelector('form.panel'); form.requestSubmit(); form.requestSubmit();")
        self.wait(lambda: self.all("code.command"))
        self.assertEqual(len(self.server.ask("GET", "/v1/admin/invites", None, self.server.login("alice"))["invites"]), 1)

    def test_an_admin_who_is_one_no_more_sees_it(self):
        alice, bob = self.server.login("alice"), self.server.login("bob")
        self.log_in("alice", address="#/,admin/users")
        self.one("[aria-label='Disable Маша']")
        self.server.ask("PATCH", "/v1/admin/users/bob", {"admin": True}, alice)
        self.server.ask("PATCH", "/v1/admin/users/alice", {"admin": False}, bob)
        self.click("[aria-label='Make Маша an admin']")
        self.wait(lambda: self.texts(".page-body") == ["you may not do this"])
        shield = lambda: self.one(".side-foot [aria-label=Administration]").is_displayed()
        self.assertFalse(shield())
        self.server.ask("PATCH", "/v1/admin/users/alice", {"admin": True}, bob)
        self.driver.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
        self.wait(shield)

    def test_the_state_of_the_server_is_readable_in_a_narrow_window(self):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 320, "height": 700, "deviceScaleFactor": 1, "mobile": False})
        self.log_in("alice", address="#/,admin/status")
        self.one("dd")
        self.assertGreater(self.driver.execute_script("return Math.min(...[...document.querySelectorAll('dt, dd')].map((one) => one.clientWidth))"), 200)

    def test_the_focus_stays_where_one_works(self):
        alice = self.server.login("alice")
        self.server.ask("POST", "/v1/groups", {"name": "garden"}, alice)
        self.server.ask("PUT", "/v1/groups/garden/members/bob", {}, alice)
        self.log_in("alice", address="#/,settings")
        self.use("[lang=ru]")
        language = lambda: self.driver.execute_script("return document.documentElement.lang")
        self.wait(lambda: self.focused() == "Русский" and language() == "ru")
        self.use("[lang=en]")
        self.wait(lambda: self.focused() == "English" and language() == "en")
        self.go("#/,admin/users")
        self.use("[aria-label='Make bob an admin']")
        self.one("[aria-label='bob: admin no more']")
        self.assertEqual(self.focused(), "bob: admin no more")
        self.go("#/garden")
        # Details are shown anew when its messages are there.
        self.wait(lambda: self.all(".row"))
        self.press(Keys.ALT, "p")
        self.use("[aria-label='Make bob an admin']")
        self.wait(lambda: self.focused() == "bob: admin no more")
        self.press(Keys.ALT, "p")
        self.wait(lambda: self.focused() == "People and details")

    def test_an_erased_account_leaves_the_list_of_people(self):
        self.log_in("alice")
        self.click("#details-button")
        self.wait(lambda: "Маша" in self.texts(".person b"))
        self.server.operate("user", "erase", "Маша", "--yes")
        self.driver.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
        self.wait(lambda: "Маша" not in self.texts(".person b"))

    def test_a_search_that_cannot_be_is_told_in_russian(self):
        self.open()
        self.driver.execute_script("localStorage.setItem('natter:language', '\"ru\"')")
        self.driver.refresh()
        self.log_in("alice", address="#/,search?q=-foo")
        self.wait(lambda: "запрос говорит только, что исключить; добавьте слово, которое искать" in self.texts(".field .error"))
        self.go("#/,search?q=*")
        self.wait(lambda: "нельзя искать «*»: здесь нет ни буквы, ни цифры" in self.texts(".field .error"))

    def test_the_command_for_a_search_has_the_last_day(self):
        today = datetime.now(UTC).strftime("%Y-%m-%d")
        self.log_in("alice", address=f"#/,search?q=needle&until={today}")
        self.wait(lambda: self.texts("p[role=status]") == ["Nothing found"])
        self.press(Keys.ALT, "s")
        self.assertGreater(self.one("dialog .command").text.split("--until ")[1][:10], today)

    def test_what_cannot_be_is_refused_and_stops_nothing(self):
        self.log_in("alice", address="#/,settings")
        label, days = self.wait(lambda: self.all("form.panel")[-1].find_elements("css selector", "input"))
        label.send_keys("backup")
        days.clear()
        days.send_keys("9999999999" + Keys.ENTER)
        self.wait(lambda: "Enter a number of days" in self.texts(".field .error"))
        self.go("#/,admin/constructor")
        self.wait(lambda: self.texts(".tabs [aria-current]") == ["Status"])
        self.go("#/,constructor")
        self.wait(lambda: self.field().get_attribute("aria-label") == "Message to general")
        # A dialog does not stay over another view.
        self.press(Keys.CONTROL, "g")
        self.one("dialog[open]")
        self.go("#/,settings")
        self.wait(lambda: not self.all("dialog"))

    def test_a_lost_answer_after_a_login_is_asked_for_again(self):
        self.open()
        self.one("[name=username]").send_keys("alice")
        self.driver.execute_script("""
            const whole = fetch;
            fetch = (path, options) => path === '/v1/whoami' ? (fetch = whole, Promise.reject(new TypeError('cut'))) : whole(path, options);""")
        self.one("[name=password]").send_keys(PASSWORD + Keys.ENTER)
        self.wait(lambda: self.all(".status.live"))
