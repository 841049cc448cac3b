"""What the page shows and sends when answers come late, in another order than they were made, or for somebody else."""
import json

from selenium.webdriver.common.keys import Keys

from history_test import OpenPage, holding
from world import PASSWORD


class RaceTests(OpenPage):
    def reload_holding(self, part, answers=True, first=""):
        source = first + holding(part, answers)
        script = self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": source})
        self.driver.refresh()
        self.wait_held(1)
        self.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)

    def listed(self):
        return dict(zip(self.texts(".conversation-name"), self.texts(".conversation-last")))

    def test_news_that_come_before_an_older_page_are_shown(self):
        self.post("bob", "one", "@alice")
        self.log_in("alice")
        self.hold("/messages?", answers=True)
        self.go("#/@bob")
        self.wait_held(1)
        self.post("bob", "two", "@alice")
        self.wait(lambda: self.listed()["bob"] == "two")
        self.release(0)
        self.wait(lambda: self.js("held.slice(1).forEach((go) => go())") or self.texts() == ["one", "two"])

    def test_what_is_written_while_the_page_asks_where_the_news_begin_is_shown(self):
        self.post("bob", "one")
        self.log_in("alice")
        self.wait_for("one")
        # The lists do not wait for the answer for long, so they are older than it.
        self.reload_holding("cursor=now", answers=False)
        self.wait(lambda: self.listed() == {"general": "bob: one"} and self.texts() == ["one"])
        self.post("bob", "two")
        self.post("bob", "three", "@alice")
        self.release(0)
        self.wait(lambda: self.listed() == {"general": "bob: two", "bob": "three"} and self.texts() == ["one", "two"])

    def test_what_is_written_between_the_first_page_and_the_lists_is_shown(self):
        self.post("bob", "one")
        self.log_in("alice")
        self.wait_for("one")
        patient = "const later = setTimeout; window.setTimeout = (work, time, ...values) => time === 400 ? 0 : later(work, time, ...values);"
        self.reload_holding("cursor=now", answers=False, first=patient)
        self.wait_for("one")
        self.post("bob", "changed", kind="edit", about=1)
        self.post("bob", "two")
        self.release(0)
        self.wait(lambda: self.texts() == ["changed", "two"])

    def test_news_that_come_before_the_first_page_of_an_empty_conversation_are_shown(self):
        self.log_in("alice", address="#/@bob")
        self.hold("/messages?", answers=True)
        self.go("#/general")
        self.wait_held(1)
        self.post("bob", "0")
        self.wait(lambda: self.listed()["general"] == "bob: 0")
        self.release(0)
        # It is asked for once more, however many come meanwhile.
        self.wait_held(2)
        for number in range(1, 6):
            self.post("bob", f"{number}")
        self.wait(lambda: self.listed()["general"] == "bob: 5")
        self.wait_held(2)
        self.wait(lambda: self.js("held.slice(1).forEach((go) => go())") or self.texts() == [f"{number}" for number in range(6)])

    def test_a_link_leads_to_its_message_though_the_page_is_loaded_anew_on_the_way(self):
        for number in range(120):
            self.post("bob", f"{number}")
        self.ask("alice", "PUT", "/v1/conversations/general/read", {"seq": 120})
        self.log_in("alice", address="#/general/20")
        self.wait(lambda: self.all("#m20"))
        # Lists come before the answer that says where news begin, and again after it. The page of messages comes last.
        slow = "const whole = fetch; window.fetch = async (...values) => { if (String(values[0]).includes('around=')) await new Promise((go) => { window.goOn = go; }); return whole(...values); };"
        self.reload_holding("cursor=now", answers=False, first=slow)
        lists = lambda: self.js("return performance.getEntriesByType('resource').filter((one) => one.name.includes('/v1/conversations?limit')).length")
        self.wait(lambda: lists() == 1)
        self.release(0)
        self.wait(lambda: lists() == 2)
        self.wait(lambda: self.js("goOn?.()") or self.focused() == "m20")

    def test_a_message_that_is_sent_on_the_way_to_the_end_is_shown(self):
        for number in range(120):
            self.post("bob", f"{number}: " + "words " * 60)
        self.log_in("alice", address="#/general/20")
        self.wait(lambda: self.all("#m20"))
        self.hold("messages?limit=50&fold=1", answers=True)
        self.js("document.querySelector('.latest').click()")
        self.wait_held(1)
        self.say("my own")
        self.wait(lambda: self.ask("bob", "GET", "/v1/conversations/general")["head"] == 121)
        self.release(0)
        self.wait(lambda: self.js("held.slice(1).forEach((go) => go())") or self.texts()[-1:] == ["my own"])

    def test_news_are_newer_than_a_list_that_comes_after_them(self):
        self.post("bob", "pm one", "@alice")
        self.ask("bob", "POST", "/v1/groups", {"name": "crew"})
        self.ask("bob", "PUT", "/v1/groups/crew/members/alice", {})
        self.post("bob", "welcome", "crew")
        self.log_in("alice", address="#/@Маша")
        self.reload_holding("conversations?limit")
        self.wait(lambda: self.all(".status.live"), "connected")
        self.ask("bob", "DELETE", "/v1/groups/crew/members/alice")
        self.post("bob", "pm two", "@alice")
        self.wait(lambda: self.listed().get("bob") == "pm two")
        self.release(0)
        # Only the list has told of general.
        self.wait(lambda: "general" in self.listed())
        self.assertEqual(self.listed().get("bob"), "pm two")
        self.assertNotIn("crew", self.listed())

    def refuse_posts(self):
        """Until refuses is false in this tab, because another one may be the first to try."""
        self.js("""
            const real = window.fetch;
            window.refuses = true;
            window.fetch = (...values) =>
                window.refuses && values[1]?.method === 'POST' ? Promise.resolve(new Response('{}', { status: 503 })) : real(...values);""")

    def test_a_message_of_a_tab_that_was_closed_is_sent_by_another(self):
        self.log_in("alice")
        self.refuse_posts()
        first = self.driver.current_window_handle
        self.new_tab()
        self.open()
        self.wait(lambda: self.all(".status.live"))
        self.refuse_posts()
        self.say("from the tab that closes")
        self.wait(lambda: self.all(".row.pending.unsent"))
        self.driver.close()
        self.driver.switch_to.window(first)
        self.js("window.refuses = false")
        self.wait_for("from the tab that closes")
        self.wait_sent()

    def click_slowly(self, link, during):
        """A click at a link to bob, whose button is down while something happens."""
        x, y = self.wait(lambda: self.js(
            "const box = document.querySelector(arguments[0] + '[href=\"#/@bob\"]').getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]", link))
        mouse = lambda kind: self.driver.execute_cdp_cmd(
            "Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1})
        mouse("mouseMoved")
        mouse("mousePressed")
        during()
        mouse("mouseReleased")
        self.wait(lambda: self.js("return decodeURIComponent(location.hash)") == "#/@bob", "clicked")

    def next_frames(self):
        self.js("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def test_a_click_is_not_lost_to_news(self):
        self.post("bob", "hi", "@alice")
        self.log_in("alice")

        def news():
            self.post("bob", "news")
            self.wait_for("news")
            self.next_frames()

        self.click_slowly("a.conversation", news)
        # Afterwards the list follows the news again.
        self.wait(lambda: self.listed()["general"] == "bob: news")

    def test_a_click_is_not_lost_to_news_of_just_before(self):
        self.post("bob", "hi", "@alice")
        self.log_in("alice")
        self.js("""
            window.frames = [];
            window.realFrame = window.requestAnimationFrame;
            window.requestAnimationFrame = (draw) => window.frames.push(draw);""")
        self.post("bob", "news")
        self.wait(lambda: self.js("return window.frames.length > 0"), "the list is to be drawn")

        def draw():
            self.js("window.requestAnimationFrame = window.realFrame; window.frames.forEach((draw) => requestAnimationFrame(draw))")
            self.next_frames()

        self.click_slowly("a.conversation", draw)
        self.wait(lambda: self.listed()["general"] == "bob: news")

    def test_a_click_is_not_lost_to_a_change_of_people(self):
        self.log_in("alice")
        self.click("#details-button")
        self.wait(lambda: len(self.all(".details .person a")) > 1)
        self.click_slowly(".details .person a", lambda: self.js("""
            const finder = document.querySelector('.details [type=search]');
            finder.value = 'bo';
            finder.dispatchEvent(new Event('input'));"""))

    def test_very_many_messages_at_once(self):
        self.post("bob", "first")
        self.log_in("alice")
        self.wait_rows(1)
        lines = "".join(json.dumps({"ts": 1700000000000 + number, "sender": "x", "text": f"old {number}"}) + "\n" for number in range(5000))
        self.server.operate("import", "general", "-", input=lines)
        self.post("bob", "last")
        self.js("const one = document.querySelector('.scroller'); one.scrollTop = one.scrollHeight")
        # Once, because each click fetches the end anew.
        self.js("window.clicks = 0")
        once = "const one = document.querySelector('.latest:not([hidden])'); if (one && clicks === 0) { clicks += 1; one.click(); }"
        self.wait(lambda: self.js(once) or self.texts()[-1:] == ["last"])
        self.assertLess(len(self.all(".row")), 600)

    def test_nothing_is_sent_with_the_cookie_of_another_account(self):
        self.log_in("alice")
        self.field().send_keys("alice writes this")
        # At once, because the page's own requests find out, too.
        status = self.driver.execute_async_script("""
            const [name, password, done] = arguments;
            fetch('/v1/login', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name, password, cookie: true }) })
                .then((answer) => {
                    document.querySelector('.composer').requestSubmit();
                    done(answer.status);
                });""", "bob", PASSWORD)
        self.assertEqual(status, 200)
        # The tab becomes the other account's.
        self.wait(lambda: self.texts(".me b") == ["bob"])
        self.wait(lambda: self.all(".status.live"))
        self.assertEqual(self.ask("bob", "GET", "/v1/conversations/general/messages")["messages"], [])

    def test_letters_that_a_mac_writes_with_option_are_letters(self):
        agent = self.js("return navigator.userAgent")
        self.driver.execute_cdp_cmd("Emulation.setUserAgentOverride", {"userAgent": agent, "platform": "MacIntel"})
        self.log_in("alice")
        self.field().click()
        for key, code in (("ś", "KeyS"), ("π", "KeyP")):
            for kind in ("keyDown", "keyUp"):
                self.driver.execute_cdp_cmd(
                    "Input.dispatchKeyEvent", {"type": kind, "modifiers": 1, "key": key, "code": code, **({"text": key} if kind == "keyDown" else {})})
        self.wait(lambda: self.field().get_property("value") == "śπ")
        self.assertEqual(self.all("dialog[open]"), [])

    def test_news_do_not_take_back_what_was_just_read(self):
        for number in range(3):
            self.post("bob", f"old {number}")
        self.log_in("alice", address="#/@bob")
        badge = lambda: [text.split()[0] for text in self.texts(".badge")]
        self.wait(lambda: badge() == ["3"])
        self.hold("PUT /v1/conversations/general/read")
        self.go("#/general")
        self.wait_held(1)
        self.go("#/@bob")
        self.wait(lambda: badge() == [])
        self.post("bob", "new")
        self.wait(lambda: self.listed()["general"] == "bob: new")
        self.assertEqual(badge(), ["1"])
        self.release(0)
        self.wait(lambda: self.ask("alice", "GET", "/v1/conversations/general")["unread"] == 1)
        self.assertEqual(badge(), ["1"])
