import NatterCommandLine
import NatterModel
import Testing
import TestSupport

@Suite("help, usage and synopsis")
struct HelpTests {
    private func path(_ words: String...) throws -> CommandPath {
        try #require(try Fixture.program.command(at: words))
    }

    @Test("the overview groups the commands")
    func overview() throws {
        let text = Help(Fixture.program).overview
        #expect(try text == Files.kept("help/overview.txt", recording: text))
    }

    @Test("a command's page has all of its row")
    func page() throws {
        let text = Help(Fixture.program).page(of: try path("log"))
        #expect(try text == Files.kept("help/log.txt", recording: text))
    }

    @Test("a page of a command with subcommands lists them with their usage")
    func subcommands() throws {
        let page = Help(Fixture.program).page(of: try path("admin"))
        #expect(page.contains("usage: natter admin user|log\n"))
        #expect(page.contains("  user add NAME  create an account\n"))
        #expect(page.contains("  log [-f]       print the server's log\n"))
        #expect(Help(Fixture.program).page(of: try path("outbox", "drop")).contains("natter outbox drop [--all] ID\n"))
    }

    private func output(_ words: String...) -> String {
        let console = Fixture.console()
        _ = Program.run(Fixture.program, words: words, console: console)
        return console.output.text + console.errors.text
    }

    @Test("a guide, or a section of natter(1), is shown without pages of the manual")
    func topics() {
        #expect(output("help", "tutorial").contains("\n        natter send Hello, everyone\n"))
        #expect(output("help", "natter-faq").contains("\n  I have lost a laptop.\n    'natter session' lists where"))
        #expect(output("help", "formats").contains("\n    %m\n        text\n"))
        let times = output("help", "times")
        #expect(times.hasPrefix("TIMES\n    Wherever") && !times.contains("LANGUAGE"))
        #expect(output("help", "exit", "status").hasPrefix("EXIT STATUS\n"))
        // A command's name means the command.
        #expect(output("help", "log").hasPrefix("natter log: "))
        #expect(output("help", "nosuch") == "natter: 'nosuch' is not a natter command; see 'natter help'\n")
    }

    @Test("no macro of the manual is left in a guide", arguments: ["tutorial", "faq", "formats", "http", "postgresql"])
    func macros(topic: String) {
        let text = output("help", topic)
        #expect(text.hasPrefix("NAME\n    natter-\(topic) - "))
        let left = text.matches(of: #/(^|[\n ])(\.?[A-Z][a-z]|\\[&(].*)(?=[ \n])/#).map {
            $0.output.2.trimmingPrefix(".")
        }
        // Two letters, as a macro has.
        let words: Set<Substring> = [
            "An", "As", "At", "Be", "By", "Do", "Go", "He", "If", "In", "Is", "It", "My", "No", "Of", "On", "Or", "So",
            "To",
            "Up", "Us", "We",
        ]
        #expect(left.allSatisfy { words.contains($0) }, "\(left)")
    }

    @Test("no line is longer than 80 columns, whatever the row says", arguments: UInt64(1)...40)
    func width(seed: UInt64) throws {
        // Given a row of words of random length
        var generator = SeededGenerator(seed: seed)
        func words(_ count: ClosedRange<Int>) -> String {
            (0..<Int.random(in: count, using: &generator)).map { _ in
                String(
                    repeating: ["x", "ж", "語"].randomElement(using: &generator) ?? "x",
                    count: 1 + Int.random(in: 0...8, using: &generator))
            }.joined(separator: " ")
        }
        let options = (0..<12).map { index in
            OptionSpec.option(
                String(repeating: "o", count: 2 + Int.random(in: 0...25, using: &generator)),
                short: Bool.random(using: &generator) ? "s" : nil, value: "V\(index)", Phrase(verbatim: words(0...40)))
        }
        let text = [Phrase(verbatim: words(0...80)), Phrase(verbatim: words(1...80))]
        let summary = Phrase(verbatim: words(1...30))
        let program = ProgramSpec(
            name: "natter", tagline: "t", version: "0", options: options,
            commands: [CommandSpec("c", summary, options: options, description: text, run: Fixture.succeed)])
        // When both pages are made, then each line keeps to the limit
        let path = try #require(try program.command(at: ["c"]))
        for line in (Help(program).start + Help(program).overview + Help(program).page(of: path)).split(separator: "\n")
        {
            #expect(DisplayWidth.columns(String(line)) <= 80, "\(line)")
            #expect(!line.hasSuffix(" "))
        }
    }

    @Test("usage nests optional operands")
    func usage() throws {
        #expect(try path("mark").usagePieces.joined(separator: " ") == "mark [-c CONV] [CONV [SEQ]]")
        #expect(try path("watch").usagePieces.joined(separator: " ") == "watch [-c CONV]... [--exec CMD] [CONV...]")
        #expect(try path("search").usagePieces.joined(separator: " ") == "search [-n N] [--regex] QUERY...")
        #expect(try path("completion").usagePieces.joined(separator: " ") == "completion bash|zsh|fish")
    }

    @Test("the synopsis in mdoc says the same")
    func mdoc() throws {
        #expect(
            try path("log").synopsisMdoc(program: "natter") == """
                .Nm natter
                .Cm log
                .Op Fl c Ar CONV
                .Op Fl n Ar N
                .Op Fl f
                .Op Fl -after Ar SEQ
                .Op Fl -since Ar TIME
                .Op Fl -from Ar USER ...
                .Op Ar CONV

                """)
        #expect(try path("mark").synopsisMdoc(program: "natter").hasSuffix(".Op Ar CONV Op Ar SEQ\n"))
        #expect(try path("watch").synopsisMdoc(program: "natter").contains("\n.Op Fl -exec Ar CMD\n.Op Ar CONV ...\n"))
        #expect(try path("completion").synopsisMdoc(program: "natter").hasSuffix("\n.Cm bash | zsh | fish\n"))
        #expect(try path("admin").synopsisMdoc(program: "natter").hasSuffix(".Cm admin\n.Cm user | log\n"))
        let odd = CommandPath(
            names: ["no"],
            command: CommandSpec("no", "", operands: [.required("Ar", "macro"), .required("a\\b", "backslash")]))
        #expect(odd.synopsisMdoc(program: "natter").hasSuffix(".Ar \\&Ar\n.Ar a\\eb\n"))
    }

    @Test("a hidden command has a page, and is neither listed nor suggested")
    func hidden() throws {
        // Given a program with a command for people and one for programs
        let program = ProgramSpec(
            name: "natter", tagline: "chat", version: "1",
            commands: [
                CommandSpec("log", "print messages", run: Fixture.succeed),
                CommandSpec("__log", "for programs", isHidden: true, run: Fixture.succeed),
            ])
        // Then
        #expect(!Help(program).overview.contains("__log"))
        #expect(try program.command(at: ["__log"]) != nil)
        #expect(Fixture.error(["__lo"], program: program)?.description.contains("__log") == false)
    }
}
