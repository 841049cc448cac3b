"""Points of WCAG 2.2 AA that axe-core cannot judge, one test each, and what the system asks for. access_test.py has 1.4.3,
1.4.10, 1.4.12, 2.1.1, 2.4.7, 2.4.11, 2.5.8 and 4.1.3."""
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from world import PASSWORD, PageTest

# The contrast of two colours as WCAG computes it.
CONTRAST = """
    const parts = (color) => color.match(/[\\d.]+/g).slice(0, 3).map((one) => one / 255);
    const light = (color) => parts(color).map((one) => one <= .04045 ? one / 12.92 : ((one + .055) / 1.055) ** 2.4).reduce((sum, one, index) => sum + one * [.2126, .7152, .0722][index], 0);
    const contrast = (a, b) => { const [low, high] = [light(a), light(b)].sort((x, y) => x - y); return (high + .05) / (low + .05); };
"""


class PointTests(PageTest):
    def active(self):
        return self.driver.switch_to.active_element

    def emulate(self, **features):
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]})

    def test_1_4_4_text_of_twice_the_size_loses_nothing(self):
        self.log_in("alice")
        self.say("large")
        self.wait_sent()
        self.driver.execute_script("const sheet = new CSSStyleSheet(); sheet.replaceSync('html {font-size: 200%}'); document.adoptedStyleSheets = [sheet]")
        cut = self.driver.execute_script("""
            return [...document.querySelectorAll('button, a, h1, .text, .status, textarea')].filter((one) => one.checkVisibility() && !one.closest('.unseen, .skip'))
                .filter((one) => { const box = one.getBoundingClientRect(); return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1); }).map((one) => one.outerHTML.slice(0, 80))""")
        self.assertEqual(cut, [])
        self.field().send_keys("still works" + Keys.ENTER)
        self.wait_for("still works")

    def test_1_4_11_borders_of_fields_and_the_focus_stand_out(self):
        self.log_in("alice")
        for theme in ("light", "dark"):
            self.driver.execute_script("localStorage.setItem('natter:theme', JSON.stringify(arguments[0]))", theme)
            self.driver.refresh()
            self.field()
            ratios = self.driver.execute_script(CONTRAST + """
                const style = getComputedStyle(document.documentElement);
                const color = (name) => { const one = document.createElement('i'); one.style.color = `var(--${name})`; document.body.append(one); const found = getComputedStyle(one).color; one.remove(); return found; };
                return [['field', 'surface'], ['field', 'ground'], ['accent', 'surface'], ['accent', 'history'], ['soft', 'surface']].map(([a, b]) => [a, b, contrast(color(a), color(b))])""")
            for name, ground, ratio in ratios:
                self.assertGreaterEqual(ratio, 3, f"{theme}: {name} on {ground}")

    def test_2_1_2_the_focus_can_leave_everything(self):
        self.log_in("alice")
        self.say("a row")
        self.wait_sent()
        start = self.field()
        for backwards in (False, True):
            start.click()
            for _ in range(60):
                self.press(*([Keys.SHIFT, Keys.TAB] if backwards else [Keys.TAB]))
                if self.active().tag_name == "body":
                    break
            else:
                self.fail("the focus went round inside")
        # A dialog keeps the focus, and Escape leaves it to where it was.
        start.click()
        self.press(Keys.CONTROL, "k")
        self.one("dialog input")
        self.press(Keys.ESCAPE)
        self.wait(lambda: not self.all("dialog"))
        self.assertEqual(self.active(), self.field())

    def test_2_1_3_a_visit_needs_no_pointer(self):
        self.log_in("alice", address="#/general")
        self.press(Keys.CONTROL, "k")
        self.one("dialog input").send_keys("bob")
        self.wait(lambda: "bob" in self.one("[role=option]").text)
        self.press(Keys.ENTER)
        self.wait(lambda: self.active().get_attribute("aria-label") == "Message to @bob")
        self.press("x")
        self.press(Keys.ENTER)
        self.wait_sent()
        self.press(Keys.ALT, "p")
        self.wait(lambda: self.active().get_attribute("aria-label") == "Find people")
        self.wait(lambda: "Add to contacts" in self.texts(".details button"))
        for _ in range(10):
            if self.active().text == "Add to contacts":
                break
            self.press(Keys.SHIFT, Keys.TAB)
        self.press(Keys.ENTER)
        self.wait(lambda: self.active().text == "Remove from contacts")
        self.press(Keys.ESCAPE)
        self.wait(lambda: self.active().get_attribute("id") == "details-button")
        self.press(Keys.CONTROL, Keys.SHIFT, "f")
        self.wait(lambda: self.active().get_attribute("type") == "search")
        self.press("x")
        self.press(Keys.ENTER)
        self.wait(lambda: self.all(".results a"))
        for _ in range(20):
            if self.active().get_attribute("href"):
                break
            self.press(Keys.TAB)
        self.press(Keys.ENTER)
        self.wait(lambda: self.active().get_attribute("id") == "m1")

    def test_2_1_4_no_bare_letter_is_a_command(self):
        self.log_in("alice")
        self.driver.execute_script("document.querySelector('.scroller').focus()")
        before = self.driver.current_url
        for letter in "abcdefghijklmnopqrstuvwxyz/?.,0123456789":
            self.press(letter)
        self.assertEqual(self.driver.current_url, before)
        self.assertEqual([self.all("dialog"), self.all(".row"), self.field().get_property("value")], [[], [], ""])

    def test_2_4_3_the_focus_goes_as_the_page_is_read(self):
        self.log_in("alice")
        self.driver.execute_script("document.activeElement.blur()")
        places = []
        for _ in range(40):
            self.press(Keys.TAB)
            place = self.driver.execute_script("const one = document.activeElement; return one.closest('.side') ? 'side' : one.closest('.view-head') ? 'head' : one.closest('.history') ? 'history' : one.closest('.composer') ? 'composer' : one.matches('.skip') ? 'skip' : ''")
            if place and (not places or places[-1] != place):
                places.append(place)
            if place == "composer":
                break
        order = ["skip", "side", "head", "history", "composer"]
        self.assertEqual(places[-len(order):] if places[0] == "skip" else places, order if places[0] == "skip" else order[order.index(places[0]):])

    def test_3_3_1_an_error_is_told_at_its_field(self):
        self.open()
        self.wait(lambda: self.driver.find_element(By.XPATH, "//button[.='Create an account']").click() or True)
        self.one("[name=username]").send_keys("two words")
        self.one("[name=password]").send_keys(PASSWORD + Keys.ENTER)
        field = self.wait(lambda: self.driver.find_element(By.CSS_SELECTOR, "[name=username][aria-invalid=true]"))
        self.assertTrue(self.driver.find_element(By.ID, field.get_attribute("aria-describedby")).text)

    def test_3_3_8_a_password_manager_can_fill_and_a_clipboard_paste(self):
        self.open()
        self.assertEqual([self.one(f"[name={name}]").get_attribute("autocomplete") for name in ("username", "password")], ["username", "current-password"])
        kept = self.driver.execute_script("""
            const paste = new ClipboardEvent('paste', {bubbles: true, cancelable: true, clipboardData: new DataTransfer()});
            return document.querySelector('[name=password]').dispatchEvent(paste)""")
        self.assertTrue(kept)

    def test_4_1_2_every_control_has_a_name_and_says_its_state(self):
        self.log_in("alice")
        self.click("#details-button")
        self.wait(lambda: self.all(".details .person"))
        self.assertEqual(self.one("#details-button").get_attribute("aria-expanded"), "true")
        self.assertEqual(len(self.all(".conversation[aria-current=page]")), 1)
        # What comes from the server may replace what was just found.
        nameless = self.wait(lambda: [[
            control.get_attribute("outerHTML")[:100] for control in self.all("button, a, input, textarea, [tabindex='0']")
            if control.is_displayed() and not control.accessible_name]])
        self.assertEqual(nameless, [[]])

    def test_forced_colours_show_what_a_colour_alone_said(self):
        self.server.ask("POST", "/v1/messages", {"conversation": "@alice", "text": "hello"}, self.server.login("bob"))
        self.log_in("alice")
        self.emulate(forced_colors="active")
        style = lambda selector, name: self.driver.execute_script("return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]", selector, name)
        self.assertEqual(style(".conversation[aria-current]", "outlineStyle"), "solid")
        self.assertNotEqual(style(".conversation[aria-current]", "outlineColor"), style(".conversation:not([aria-current])", "outlineColor"))
        for selector in (".badge", ".avatar", ".send", ".icon-button"):
            self.assertEqual(style(selector, "borderTopStyle"), "solid", selector)

    def test_reduced_motion_moves_nothing(self):
        self.log_in("alice")
        moving = """
            const slow = (one) => getComputedStyle(one).transitionDuration.split(', ').some((time) => parseFloat(time) > 0);
            return [...document.querySelectorAll('*')].filter((one) => slow(one) || getComputedStyle(one).animationName !== 'none').length + document.getAnimations().length"""
        self.assertGreater(self.driver.execute_script(moving), 0)
        self.emulate(prefers_reduced_motion="reduce")
        self.assertEqual(self.driver.execute_script(moving), 0)
