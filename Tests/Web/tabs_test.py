"""Several tabs of one account: one of them waits for news, and any of them may be frozen or closed."""
from history_test import OpenPage


class TabTests(OpenPage):
    def second(self, address=""):
        """Opens another tab, in which the first one tells the news. Returns both."""
        first = self.driver.current_window_handle
        second = self.new_tab()
        self.open(address)
        self.wait(lambda: self.all(".status.live"), "connected")
        return first, second

    def freeze(self, tab, state="frozen"):
        now = self.driver.current_window_handle
        self.driver.switch_to.window(tab)
        self.driver.execute_cdp_cmd("Page.setWebLifecycleState", {"state": state})
        self.driver.switch_to.window(now)

    def test_news_come_while_the_tab_that_waits_is_frozen(self):
        self.post("bob", "old")
        self.log_in("alice")
        self.wait_for("old")
        first, second = self.second()
        self.wait_for("old")
        self.freeze(first)
        self.post("bob", "while it is frozen")
        self.wait_for("while it is frozen")
        # Nobody has to come back: what is opened or written meanwhile works as well.
        self.new_tab()
        self.open()
        self.wait(lambda: self.all(".status.live"), "connected")
        self.say("mine")
        self.wait_sent()
        self.driver.switch_to.window(second)
        self.wait_for("mine")
        # The frozen one wakes up as one of those that are told.
        self.freeze(first, "active")
        self.post("bob", "to all")
        for tab in (second, first):
            self.driver.switch_to.window(tab)
            self.wait(lambda: self.texts() == ["old", "while it is frozen", "mine", "to all"])
        # It takes its turn again.
        for tab in self.driver.window_handles:
            if tab != first:
                self.driver.switch_to.window(tab)
                self.driver.close()
        self.driver.switch_to.window(first)
        self.post("bob", "at last")
        self.wait_for("at last")

    def test_news_come_while_the_tab_that_waits_does_not_answer(self):
        self.log_in("alice")
        self.wait(lambda: self.server.waiting() == 1)
        first, second = self.second()
        # As if its process were suspended: it keeps its lock, says nothing, and gets an answer late.
        self.driver.switch_to.window(first)
        self.js("window.say = BroadcastChannel.prototype.postMessage; BroadcastChannel.prototype.postMessage = () => {}")
        self.hold("/v1/sync", answers=True)
        self.post("bob", "one")
        self.wait_for("one")
        self.wait_held(1)
        self.post("bob", "two")
        self.driver.switch_to.window(second)
        self.js("dispatchEvent(new Event('focus'))")
        self.wait(lambda: self.texts() == ["one", "two"])
        self.driver.switch_to.window(first)
        self.js("BroadcastChannel.prototype.postMessage = window.say")
        self.release(0)
        self.post("bob", "three")
        for tab in (first, second):
            self.driver.switch_to.window(tab)
            self.wait(lambda: self.texts() == ["one", "two", "three"])

    def test_a_message_is_sent_while_a_tab_that_sends_is_frozen(self):
        self.log_in("alice")
        first, second = self.second()
        self.driver.switch_to.window(first)
        self.hold("POST /v1/messages")
        # It may be the first to try, too.
        self.freeze(second)
        self.say("of the frozen tab")
        self.wait_held(1)
        self.freeze(first)
        self.freeze(second, "active")
        self.driver.switch_to.window(second)
        self.say("of this tab")
        self.wait_for("of this tab")
        self.wait_sent()
        self.freeze(first, "active")
        self.driver.switch_to.window(first)
        self.release(0)
        self.wait_sent()
        self.wait(lambda: self.texts() == ["of the frozen tab", "of this tab"])
        self.assertEqual(self.ask("bob", "GET", "/v1/conversations/general")["head"], 2)

    def test_a_refused_message_that_another_tab_tries_again_is_sent_by_this_one(self):
        self.ask("bob", "PUT", "/v1/blocks/alice", {})
        self.log_in("alice", address="#/@bob")
        state = lambda: self.texts(".row.pending .meta")[0]
        self.say("hello")
        self.wait(lambda: state().startswith("not sent:"))
        first, second = self.second("#/@bob")
        self.wait(lambda: state().startswith("not sent:"))
        self.driver.switch_to.window(first)
        # It may be the first to try, and is refused again.
        self.freeze(second)
        self.js("window.fetch = async (...values) => new Response('{\"error\":{\"code\":\"disk_full\"}}', { status: 503 })")
        self.press_button("Retry")
        self.wait(lambda: state().startswith("not sent yet: the server's disk is full"))
        self.ask("bob", "DELETE", "/v1/blocks/alice")
        self.freeze(second, "active")
        self.driver.close()
        self.driver.switch_to.window(second)
        self.wait_for("hello")
        self.wait_sent()

    def test_a_conversation_that_was_opened_without_a_server_opens_when_it_is_back(self):
        self.log_in("alice")
        tabs = self.second()
        self.server.kill()
        for tab in tabs:
            self.driver.switch_to.window(tab)
            self.wait(lambda: self.all(".status.offline"))
            self.go("#/@bob")
            self.wait(lambda: self.texts(".center [role=alert]") == ["The server cannot be reached."])
        self.server.start()
        for tab in tabs:
            self.driver.switch_to.window(tab)
            self.field()
