@testable import NatterCommandLine
import Testing

/// Each script is tried by the shell that it is for, with a person's keys on a terminal.
@Suite("completion")
struct CompletionTests {
    @Test("bash completes what the table has")
    func bash() throws { try follow(.bash) }

    @Test("zsh completes what the table has")
    func zsh() throws { try follow(.zsh) }

    @Test("fish completes what the table has")
    func fish() throws { try follow(.fish) }

    @Test("bash runs no part of a name")
    func bashNames() throws { try insertOddNames(.bash) }

    @Test("zsh runs no part of a name")
    func zshNames() throws { try insertOddNames(.zsh) }

    @Test("fish runs no part of a name")
    func fishNames() throws { try insertOddNames(.fish) }

    @Test(
        "bash gets a word that fits the quotes around it",
        arguments: [
            ("odd it d", "d", "don\\'t"), ("odd it 'd", "d", "don'\\''t"), ("odd it \"d", "d", "don't"),
            ("odd it d", "", "on\\'t"), ("odd it $(d", "d", ""), ("odd it x", "x", ""),
            ("odd >out $(a b) it 2> out d", "d", ""), ("odd >out -- it d", "d", "don\\'t"),
        ])
    func quoting(line: String, replaced: String, inserted: String) {
        let odd = ProgramSpec(
            name: "odd", tagline: "", version: "1",
            commands: [
                CommandSpec("it", "don't", operands: [.required("X", oneOf: ["don't"], "")], run: Fixture.succeed)
            ])
        let console = Fixture.console()
        Completion.run(odd, words: ["bash", line, replaced], console: console)
        #expect(console.output.text.split(separator: "\n").dropFirst().joined() == inserted)
        #expect(console.errors.text.isEmpty)
    }

    private func follow(_ shell: Shell) throws {
        // Given keys, and the expected arguments
        let lines = [
            ("sea\t", "search"),
            ("--jso\tlo\t", "--json log"),
            ("--color al\t", "--color always"),
            ("--color=ne\t", "--color=never"),
            ("log --fol\t", "log --follow"),
            ("log --offl\t", "log --offline"),
            ("outbox dr\t--al\t", "outbox drop --all"),
            ("admin us\tad\t", "admin user add"),
            ("help out\tl\t", "help outbox ls"),
            ("completion fi\t", "completion fish"),
            ("log of\t", "log of-conversations-in-none"),
            ("log --from of\t", "log --from of-users-in-none"),
            ("log --from=of\t", "log --from=of-users-in-none"),
            ("--home ~/x log of\t", "--home HERE/x log of-conversations-in-HERE/x"),
            ("send -c of\thi", "send -c of-conversations-in-none hi"),
            ("send --conversation of\thi", "send --conversation of-conversations-in-none hi"),
            ("log -n 5 of\t", "log -n 5 of-conversations-in-none"),
            ("watch --exec nat\t of\t of\t", "watch --exec natter of-conversations-in-none of-conversations-in-none"),
            ("search -x of\t", "search -x of"),
            ("mark of\t of\t", "mark of-conversations-in-none of"),
            ("--home some\t ls", "--home some-directory/ ls"),
            ("-- sea\t", "-- search"),
            ("nothing of\t", "nothing of"),
        ]
        // When they are pressed
        let session = ShellSession(shell: shell) { kind, home in ["of-\(kind)-in-\(home ?? "none")"] }
        let (calls, _) = try session.run(lines: lines.map { "natter " + $0.0 }, files: ["some-directory/"])
        // Then
        #expect(calls.map(plain) == lines.map { plain($0.1) })
    }

    /// Without the temporary path, and without the slash behind a directory, which zsh removes.
    private func plain(_ call: String) -> String {
        var words: [Substring] = []
        for word in call.split(separator: " ") {
            var word = word
            while word.hasSuffix("/") { word = word.dropLast() }
            if let start = word.firstRange(of: "/tmp/natter-shell."), let end = word.lastIndex(of: "/") {
                word = word[..<start.lowerBound] + "HERE" + word[end...]
            }
            words.append(word)
        }
        return words.joined(separator: " ")
    }

    private func insertOddNames(_ shell: Shell) throws {
        // Given names that a shell would run or change, each with a first character of its own
        let names = [
            "$(touch${IFS}broken)", "`touch${IFS}broken`", "d'artagnan", "q\"uote", "[gnubie]", "|trey|", "Маша",
            "bang!!", "*", "~root", "a:b", "x@y", "{a,b}", ";touch", "&x", "=ls", "%pct", "@bob", "!bang", "c$HOME",
            "(sub)", "<in", ">out", "]", "^x", "+y", "k\\b",
        ]
        // When the first is typed of each, with a backslash before what is no letter, and the rest completed
        let typed = names.map { name in
            let first = name.first.map(String.init) ?? ""
            return "natter log " + (first == "@" || first.first?.isLetter == true ? "" : "\\") + first + "\t"
        }
        let (calls, files) = try ShellSession(shell: shell) { _, _ in names }.run(lines: typed)
        // Then the program gets each as it is, and nothing was run or written
        #expect(calls == names.map { "log " + $0 })
        #expect(files.isEmpty)
    }
}
