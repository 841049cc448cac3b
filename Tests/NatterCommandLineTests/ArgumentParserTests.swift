import NatterCommandLine
import NatterModel
import Testing
import TestSupport

@Suite("reading a command line")
struct ArgumentParserTests {
    @Test("options stand before and after the command, with a space or an equals sign")
    func optionsAnywhere() throws {
        for words in [
            ["--home", "/h", "log", "--after", "7", "@bob"], ["log", "--after=7", "@bob", "--home=/h"],
            ["--home=/h", "log", "@bob", "--after", "7"],
        ] {
            let arguments = try Fixture.arguments(words)
            #expect(arguments.value("home") == "/h")
            #expect(arguments.value("after") == "7")
            #expect(arguments.operands == ["@bob"])
            #expect(arguments.operand("CONV") == "@bob")
            #expect(arguments.path == ["log"])
        }
    }

    @Test("a value is the next word whatever it looks like")
    func valueWithDash() throws {
        let arguments = try Fixture.arguments(["log", "--since", "-2h", "--from", "--help", "--home", "--"])
        #expect(arguments.value("since") == "-2h")
        #expect(arguments.value("from") == "--help")
        #expect(arguments.value("home") == "--")
        #expect(arguments.value("after") == nil)
    }

    @Test("a value may be empty or hold an equals sign")
    func oddValues() throws {
        #expect(try Fixture.arguments(["log", "--from="]).value("from") == "")
        #expect(try Fixture.arguments(["log", "--from", ""]).value("from") == "")
        #expect(try Fixture.arguments(["log", "--from=a=b"]).value("from") == "a=b")
    }

    @Test("short options take their value as the next word or attached")
    func shortOptions() throws {
        #expect(try Fixture.arguments(["log", "-n", "5"]).value("limit") == "5")
        #expect(try Fixture.arguments(["log", "-n5"]).value("limit") == "5")
        #expect(try Fixture.arguments(["log", "-f", "-n", "-5"]).value("limit") == "-5")
        #expect(try Fixture.arguments(["log", "-f"]).flag("follow"))
        #expect(try !Fixture.arguments(["log"]).flag("follow"))
    }

    @Test("short options can stand in one word, the last of them with its value; one that is unknown is named")
    func bundle() throws {
        for words in [["-fn5"], ["-fn", "5"], ["-ffn5"]] {
            let arguments = try Fixture.arguments(["log"] + words)
            #expect(arguments.flag("follow") && arguments.value("limit") == "5", "\(words)")
        }
        #expect(try Fixture.arguments(["log", "-nf"]).value("limit") == "f")
        #expect(throws: UsageError.self) { try Fixture.arguments(["log", "-fxn5"]) }
    }

    @Test("all values of a repeatable option can be had; any other with a value stands once, however it is spelt")
    func repeated() throws {
        #expect(try Fixture.arguments(["log", "--from", "a", "--from=b"]).values("from") == ["a", "b"])
        for words in [
            ["log", "--after", "1", "--after", "2"], ["log", "-n", "1", "--limit=1"],
            ["search", "x", "-n", "3", "--limit=4"],
        ] {
            #expect(Fixture.error(words)?.description.contains("only once") == true, "\(words)")
        }
        #expect(try Fixture.arguments(["log", "--json", "--json"]).flag("json"))
        // A setting, which an alias may have given already
        #expect(try Fixture.arguments(["--home=/h", "log", "--home", "/i"]).value("home") == "/i")
    }

    @Test("two dashes end the options; a dash and a negative number are operands")
    func operands() throws {
        #expect(try Fixture.arguments(["send", "--", "--json", "--", "-x"]).operands == ["--json", "--", "-x"])
        #expect(try Fixture.arguments(["send", "-"]).operands == ["-"])
        #expect(try Fixture.arguments(["mark", "general", "-5"]).operands == ["general", "-5"])
        #expect(try Fixture.arguments(["send", "a", "", "-0.5"]).operands == ["a", "", "-0.5"])
        #expect(try Fixture.arguments(["--", "send", "--json"]).operands == ["--json"])
    }

    @Test("in a query a word with a dash that is no option belongs to it")
    func query() throws {
        let arguments = try Fixture.arguments(
            ["search", "cat", "-dog", "--regexp", "-n5", "--json=x", "--limit=4", "--regex"])
        #expect(arguments.operands == ["cat", "-dog", "--regexp", "-n5", "--json=x"])
        #expect(arguments.value("limit") == "4")
        #expect(arguments.flag("regex"))
        #expect(!arguments.flag("json"))
        #expect(try Fixture.arguments(["search", "--", "-n"]).operands == ["-n"])
    }

    @Test("words of another program's command pass as they are")
    func verbatim() throws {
        let arguments = try Fixture.arguments(["--offline", "serve", "--listen", "--json", "--", "-x"])
        #expect(arguments.operands == ["--listen", "--json", "--", "-x"])
        #expect(arguments.flag("offline"))
        #expect(!arguments.flag("json"))
    }

    @Test("subcommands nest, with options at every place")
    func subcommands() throws {
        let drop = try Fixture.arguments(["--json", "outbox", "--offline", "drop", "--all", "7"])
        #expect(drop.path == ["outbox", "drop"])
        #expect(drop.flag("json") && drop.flag("offline") && drop.flag("all"))
        #expect(drop.operand("ID") == "7")
        #expect(try Fixture.arguments(["admin", "user", "add", "eve"]).path == ["admin", "user", "add"])
        #expect(try Fixture.arguments(["admin", "log", "-f"]).flag("follow"))
    }

    @Test(
        "every mistake is named, with the way to help",
        arguments: [
            (["lgo"], "'lgo' is not a natter command; the most similar is 'log'; see 'natter help'"),
            (["sl", "--json"], "'sl' is not a natter command; the most similar is 'ls'; see 'natter help'"),
            (["xyzzy"], "'xyzzy' is not a natter command; see 'natter help'"),
            (
                ["outbox", "dorp"],
                "'dorp' is not a natter outbox command; the most similar is 'drop'; see 'natter help outbox'"
            ),
            (["outbox"], "'outbox' needs one of: ls, drop; see 'natter help outbox'"),
            (
                ["log", "--form", "bob"],
                "'--form' is not an option of 'log'; the most similar is '--from'; see 'natter help log'"
            ),
            (
                ["log", "--folow=1"],
                "'--folow' is not an option of 'log'; the most similar is '--follow'; see 'natter help log'"
            ),
            (["log", "-x"], "'-x' is not an option of 'log'; see 'natter help log'"),
            (["--form"], "'--form' is not an option; see 'natter help'"),
            (["log", "--after"], "'--after' needs a value, SEQ; see 'natter help log'"),
            (["log", "-n"], "'-n' needs a value, N; see 'natter help log'"),
            (["log", "--follow=yes"], "'--follow' takes no value; see 'natter help log'"),
            (["log", "a", "b"], "'log' takes at most CONV; 'b' is one too many; see 'natter help log'"),
            (["ls", "b"], "'ls' takes no operands; 'b' is one too many; see 'natter help ls'"),
            (["search"], "'search' needs QUERY; see 'natter help search'"),
            (["outbox", "drop"], "'outbox drop' needs ID; see 'natter help outbox drop'"),
            (
                ["--color", "allways", "ls"],
                "'--color' takes auto, always, never, not 'allways'; see 'natter help'"
            ),
            (
                ["completion", "tcsh"],
                "'completion' takes bash, zsh, fish, not 'tcsh'; see 'natter help completion'"
            ),
        ])
    func mistakes(words: [String], message: String) {
        #expect(Fixture.error(words)?.description == message)
        #expect(Fixture.error(words)?.asksForJSON == words.contains("--json"))
    }

    @Test("an error knows of --json before and behind it")
    func errorForm() {
        #expect(Fixture.error(["log", "--bogus", "--json"])?.asksForJSON == true)
        #expect(Fixture.error(["--json", "log", "--bogus"])?.asksForJSON == true)
        #expect(Fixture.error(["log", "--bogus", "--", "--json"])?.asksForJSON == false)
    }

    @Test("help and version are asked for in many ways")
    func helpAndVersion() throws {
        for words in [["--help"], ["help"], ["-h"], ["help", "--offline"]] {
            guard case .overview = try ArgumentParser.parse(words, for: Fixture.program) else {
                Issue.record("no overview for \(words)")
                continue
            }
        }
        for words in [
            ["log", "--help"], ["help", "log"], ["help", "log", "general"], ["--help", "log"],
            ["log", "a", "b", "--bogus", "--help"],
            ["log", "-h"],
            ["log", "--version", "--help"],
        ] {
            guard case .help(let path) = try ArgumentParser.parse(words, for: Fixture.program), path.text == "log"
            else {
                Issue.record("no help of log for \(words)")
                continue
            }
        }
        for words in [["outbox", "drop", "--help"], ["help", "outbox", "drop"]] {
            guard case .help(let path) = try ArgumentParser.parse(words, for: Fixture.program) else {
                Issue.record("no help for \(words)")
                continue
            }
            #expect(path.text == "outbox drop")
        }
        guard case .help = try ArgumentParser.parse(["serve", "--help"], for: Fixture.program) else {
            Issue.record("no help of serve")
            return
        }
        for words in [["--version"], ["log", "--version"], ["--bogus", "--version"]] {
            guard case .version = try ArgumentParser.parse(words, for: Fixture.program) else {
                Issue.record("no version for \(words)")
                continue
            }
        }
        #expect(Fixture.error(["help", "lgo"])?.message.english.contains("'log'") == true)
        #expect(Fixture.error(["lgo", "--help"])?.message.english.contains("'log'") == true)
    }

    @Test("numbers, times and spans are checked where they are asked for")
    func typedValues() throws {
        let arguments = try Fixture.arguments(["log", "-n", "5", "--since", "-1h", "--timeout", "2.5"])
        #expect(try arguments.integer("limit") == 5)
        #expect(try arguments.integer("after") == nil)
        #expect(try arguments.seconds("timeout", in: 0.1...600) == 2_500)
        #expect(try arguments.time("since", now: .init(milliseconds: 7_200_000))?.milliseconds == 3_600_000)
        for bad in ["", "-1", "+1", "1.5", "x", "99999999999999999999"] {
            #expect(throws: UsageError.self) { try Fixture.arguments(["log", "--limit", bad]).integer("limit") }
        }
        for bad in ["", "-1", "nan", "inf", "0x10", "1e3", "601"] {
            #expect(throws: UsageError.self) {
                try Fixture.arguments(["ls", "--timeout", bad]).seconds("timeout", in: 0.1...600)
            }
        }
        #expect(throws: UsageError.self) { try Fixture.arguments(["log", "--since", "x"]).time("since", now: .zero) }
    }

    @Test("no line makes the parser crash, and what it gives fits the table", arguments: UInt64(1)...100)
    func randomLines(seed: UInt64) throws {
        // Given a line of words that mean something and of bits of them
        var generator = SeededGenerator(seed: seed)
        let vocabulary = [
            "log", "ls", "search", "mark", "send", "watch", "serve", "outbox", "drop", "admin", "user", "add", "help",
            "--help", "--version", "--json", "--", "-", "-n", "-n5", "-f", "-ffn", "-c", "--exec", "--exec=", "--after",
            "--=",
            "--after=", "=", "", "-5", "--color=auto", "--color", "Маша", "-é", "--é=é", "\u{0}", "👩‍👩‍👧", "completion",
            "zsh",
            "-\u{301}", "\u{301}", "--\u{301}=", "\r\n",
        ]
        for _ in 0..<50 {
            let words = (0..<Int.random(in: 0...8, using: &generator)).compactMap { _ in
                vocabulary.randomElement(using: &generator)
            }
            // When it is parsed, then it is refused in one line or has the operands that its row asks for
            do throws(UsageError) {
                guard case .run(let path, let arguments) = try ArgumentParser.parse(words, for: Fixture.program) else {
                    continue
                }
                let rows = path.command.operands
                #expect(arguments.operands.count >= rows.filter { !$0.isOptional }.count)
                #expect(arguments.path == path.names)
                #expect(path.command.run != nil)
            } catch {
                #expect(!error.message.english.isEmpty)
                #expect(!error.remedy.english.isEmpty)
            }
        }
    }
}
