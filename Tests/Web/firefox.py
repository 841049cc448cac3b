"""Runs what people do with the page in Firefox ESR, by Marionette: firefox.py [TEST...], as for unittest."""
import sys
import tempfile
import unittest

from marionette_driver.marionette import ActionSequence, Marionette

import world

TESTS = ["entrance_test.EntranceTests", "page_test.MessageTests.test_writes_replies_edits_and_deletes"]


class Firefox:
    """Marionette with the names of selenium that the tests use."""

    def __init__(self, *_):
        self.log = tempfile.TemporaryDirectory(prefix="natter-firefox.")
        self.marionette = Marionette(bin="/usr/bin/firefox-esr", headless=True, gecko_log=self.log.name)
        self.marionette.start_session()
        self.marionette.timeout.script = world.TIMEOUT
        self.find_element = self.marionette.find_element
        self.find_elements = self.marionette.find_elements
        self.get = self.marionette.navigate
        self.refresh = self.marionette.refresh
        self.close = self.marionette.close
        self.switch_to = self

    current_url = property(lambda self: self.marionette.get_url())
    page_source = property(lambda self: self.marionette.page_source)
    active_element = property(lambda self: self.marionette.get_active_element())
    current_window_handle = property(lambda self: self.marionette.current_window_handle)

    def execute_script(self, script, *values):
        return self.marionette.execute_script(script, script_args=values, sandbox=None)

    def execute_async_script(self, script, *values):
        return self.marionette.execute_async_script(script, script_args=values, sandbox=None)

    def set_window_size(self, width, height):
        self.marionette.set_window_rect(width=width, height=height)

    def window(self, handle):
        self.marionette.switch_to_window(handle)

    def new_window(self, kind):
        self.marionette.switch_to_window(self.marionette.open(type=kind, focus=True)["handle"])

    def press(self, *keys):
        chain = ActionSequence(self.marionette, "key", "keyboard")
        for key in keys:
            chain.key_down(key)
        for key in reversed(keys):
            chain.key_up(key)
        chain.perform()

    def quit(self):
        self.marionette.quit(in_app=False)
        self.log.cleanup()


if __name__ == "__main__":
    world.browser = Firefox
    world.PageTest.press = lambda self, *keys: self.driver.press(*keys)
    unittest.main(module=None, argv=["firefox.py", *(sys.argv[1:] or TESTS)], verbosity=2)
