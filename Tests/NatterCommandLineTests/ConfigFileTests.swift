import NatterCommandLine
import Testing
import TestSupport

@Suite("settings files")
struct ConfigFileTests {
    @Test("keys and values, comments and blank lines")
    func parsing() throws {
        let file = try ConfigFile(
            parsing:
                "# natterd\n\nlisten = 127.0.0.1:7117\r\n  log-level=debug  \n\t# x = y\nempty =\nurl = a=b # c\nlisten=[::1]:0",
            path: "c")
        #expect(file.entries.map(\.key) == ["listen", "log-level", "empty", "url", "listen"])
        #expect(file.entries.map(\.line) == [3, 4, 6, 7, 8])
        #expect(file.value("listen") == "[::1]:0")
        #expect(file.value("log-level") == "debug")
        #expect(file.value("empty") == "")
        #expect(file.value("url") == "a=b")
        #expect(file.value("x") == nil)
    }

    @Test(
        "a comment may follow a value, and a '#' in a word or in quotes begins none",
        arguments: [
            ("info # like that", "info"), ("info\t#like that", "info"), ("# nothing", ""), ("a#b", "a#b"),
            ("https://x/#frag # c", "https://x/#frag"), ("\"a # b\"", "a # b"), ("\"a # b\" # c \"d\"", "a # b"),
            ("\"a\" b", "\"a\" b"), ("\"a # b", "\"a"), ("\"\"", ""),
        ])
    func comments(text: String, value: String) throws {
        #expect(try ConfigFile(parsing: "key = \(text)", path: "c").value("key") == value)
    }

    @Test("a value is read back as it was written, and the comment behind the former one stays")
    func writingComments() throws {
        #expect(ConfigFile.text("a = 1 # one\n", setting: "a", to: "2") == "a = 2 # one\n")
        for value in ["a # b", "#a", "\"a", "a#b"] {
            #expect(ConfigFile.canHold(value))
            let text = ConfigFile.text("a = \"1 # 2\" # one\n", setting: "a", to: value)
            #expect(try ConfigFile(parsing: text, path: "c").value("a") == value)
        }
        for value in ["a \"b\" # c", "\"a\""] { #expect(!ConfigFile.canHold(value)) }
    }

    @Test("errors name their line")
    func errors() {
        func message(_ text: String, keys: [String]? = nil) -> String? {
            failure { () throws(ConfigError) in
                _ = try ConfigFile(parsing: text, path: "natterd.conf", keys: keys)
            }?.description
        }
        #expect(message("a = 1\nlisten") == "'natterd.conf', line 2: not of the form 'key = value'")
        #expect(message("= 1") == "'natterd.conf', line 1: not of the form 'key = value'")
        #expect(
            message("# x\nlsiten = 1", keys: ["listen", "data"])
                == "'natterd.conf', line 2: 'lsiten' is not a setting; the most similar is 'listen'")
        #expect(message("", keys: []) == nil)
    }

    @Test("a file fills in the options that the command line left out")
    func filling() throws {
        let arguments = try Fixture.arguments(["log", "--after", "7"])
        let file = try ConfigFile(
            parsing: "after = 1\nlimit = 5\nfollow = yes\njson = true\njson = off\ncolor = never", path: "c")
        let filled = try arguments.filled(from: file)
        #expect(filled.value("after") == "7")
        #expect(filled.value("limit") == "5")
        #expect(filled.flag("follow"))
        #expect(!filled.flag("json"))
        #expect(filled.value("color") == "never")
        for bad in ["bogus = 1", "follow = maybe", "color = blue", "help = true", "version = true"] {
            #expect(throws: ConfigError.self) { try arguments.filled(from: try ConfigFile(parsing: bad, path: "c")) }
        }
    }

    @Test("one setting is changed, the rest stays")
    func writing() throws {
        let text = "# mine\na = 1\n\nb = 2\na = 3\n"
        #expect(ConfigFile.text(text, setting: "a", to: "4") == "# mine\n\nb = 2\na = 4\n")
        #expect(ConfigFile.text(text, setting: "b", to: nil) == "# mine\na = 1\n\na = 3\n")
        #expect(ConfigFile.text(text, setting: "c", to: "x y") == text + "c = x y\n")
        #expect(ConfigFile.text(text, setting: "c", to: nil) == text)
        #expect(ConfigFile.text("", setting: "a", to: "1") == "a = 1\n")
        #expect(ConfigFile.text("b = 1", setting: "a", to: "1") == "b = 1\na = 1\n")
        #expect(ConfigFile.text("#a = 1\n", setting: "a", to: "1") == "#a = 1\na = 1\n")
    }

    @Test("random texts are read or refused, and a change can be read back", arguments: UInt64(1)...100)
    func random(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let pieces = ["a", "b", "=", "#", " ", "\n", "\r\n", "\t", "é", "\r", "\u{0}", "\u{301}"]
        let text = (0..<40).compactMap { _ in pieces.randomElement(using: &generator) }.joined()
        do throws(ConfigError) {
            let file = try ConfigFile(parsing: text, path: "c")
            let changed = try ConfigFile(parsing: ConfigFile.text(text, setting: "a", to: "new"), path: "c")
            #expect(changed.value("a") == "new")
            #expect(changed.entries.filter { $0.key == "a" }.count == 1)
            #expect(
                changed.entries.filter { $0.key != "a" }.map(\.value)
                    == file.entries.filter { $0.key != "a" }.map(\.value))
        } catch {
            #expect(error.line >= 1)
        }
    }
}
