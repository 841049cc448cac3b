internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

/// A terminal, which script(1) makes.
enum Screen {
    /// The screen that a person would see after a command, and its exit code.
    ///
    /// - Parameters:
    ///   - typed: what the person types, at once. Without it the terminal's input is at its end.
    ///   - columns: the width of the terminal; 0 for an unknown one.
    static func show(
        _ person: Person, _ words: [String], typing typed: String = "", columns: Int = 0,
        environment: [String: String] = [:], program: String = "natter"
    ) throws -> (text: String, code: Int32) {
        let outcome = try start(
            person, words, input: typed.isEmpty ? .nothing : .text(typed), columns: columns,
            environment: environment, program: program
        ).finish()
        return (outcome.output.replacingOccurrences(of: "\r\n", with: "\n"), outcome.code)
    }

    /// A command on a terminal, for a person who looks before typing more.
    ///
    /// - Parameter next: what a shell runs there behind it.
    static func start(
        _ person: Person, _ words: [String], input: ChildProcess.Stream = .pipe, columns: Int = 0,
        environment: [String: String] = [:], program: String = "natter", followedBy next: String = ""
    ) throws -> ChildProcess {
        let quoted = ([try Programs.path(program)] + words).map { "'" + $0 + "'" }.joined(separator: " ")
        var variables = [
            "HOME": person.home, "PATH": "/usr/bin:/bin", "NATTER_SERVER": person.server, "TERM": "xterm", "TZ": "UTC",
        ]
        variables.merge(environment) { $1 }
        variables = variables.filter { !$0.value.isEmpty }
        let command = next.isEmpty ? quoted : "\(quoted); \(next)"
        let line = columns > 0 ? "stty cols \(columns); \(command)" : command
        return try ChildProcess(
            "/usr/bin/script", ["-qec", line, "/dev/null"], environment: variables, input: input)
    }
}

/// The programs on a terminal, which script(1) gives them.
@Suite("on a terminal")
struct TerminalTests {
    private func screen(
        _ person: Person, _ words: [String], environment: [String: String] = [:]
    ) throws -> (text: String, code: Int32) {
        try Screen.show(person, words, environment: environment)
    }

    @Test("log: the day, times of day, names in colours, your own bold; through the pager")
    func log() throws {
        let world = try World()
        try world.alice.sends("one \u{1B}[31mred")
        try world.bob.sends("two")
        let shown = try screen(world.bob, ["log"], environment: ["NATTER_PAGER": "sed s/^/P/"])
        #expect(shown.code == 0)
        let lines = shown.text.split(separator: "\n").map(String.init)
        #expect(lines.count == 3 && lines.allSatisfy { $0.hasPrefix("P") })
        #expect(lines[0].hasPrefix("P\u{1B}[1m-- ") && lines[0].contains("day, "))
        #expect(lines[1].contains("malice\u{1B}[m: one \\x1b[31mred"))
        #expect(lines[2].contains("\u{1B}[1mbob\u{1B}[m: two"))
    }

    @Test("less, the pager by default, begins a long log at its newest line, and a short one needs no pager")
    func newest() throws {
        let world = try World()
        let lines = (1...30).map { "line \($0)\n" }.joined()
        try expect(world.alice.run(["send", "--lines"], input: .bytes(Array(lines.utf8))))
        let script = try world.directory.write("script", "#!/bin/sh\necho \"less $*\"; cat\n")
        try Programs.install(script, as: "\(world.directory.path)/less")
        let path = ["PATH": "\(world.directory.path):/usr/bin:/bin", "NO_COLOR": "1"]
        func first(_ words: String...) throws -> Substring? {
            try screen(world.bob, words, environment: path).text.split(separator: "\n").first
        }
        #expect(try first("log", "-n", "30") == "less +G")
        #expect(try first("log", "-n", "30", "--reverse") == "less ")
        #expect(try first("log", "-n", "3")?.hasPrefix("--") == true)
        #expect(try first("search", "line", "-n", "3")?.contains("line") == true)
    }

    @Test("wrap says where its message stands")
    func wrapped() throws {
        let world = try World()
        let shown = try screen(world.alice, ["wrap", "true"])
        #expect(shown.text == "sent to @alice as number 1\n" && shown.code == 0, "\(shown.text)")
    }

    @Test("a pager that cannot be run is named, and the output comes without it")
    func missingPager() throws {
        let world = try World(says: "one")
        for (pager, isThere) in [
            ("nosuchpager", false), ("nosuchpager -F", false), ("/nowhere/less", false), ("exec sed s/^/P/", true),
            ("A=b sed s/^/P/", true), ("nosuchpager | cat", true),
        ] {
            for words in [["log"], ["search", "one"]] {
                let shown = try screen(world.bob, words, environment: ["PAGER": pager, "NO_COLOR": "1"])
                // As with git, 141 if the pager ends before it has read all. The one that cannot be run does, or does not.
                #expect(shown.code == 0 || pager.contains("|") && shown.code == 141, "\(pager): \(shown.text)")
                #expect(shown.text.contains("cannot run the pager '\(pager)'") != isThere, "\(shown.text)")
                #expect(shown.text.contains("alice: one") == !pager.contains("|"), "\(pager): \(shown.text)")
            }
        }
    }

    @Test("what a pager that fails has not shown is not seen; an empty PAGER is none")
    func failingPager() throws {
        let world = try World(says: "one")
        let file = world.directory("seen")
        for words in [["log", "--cursor-file", file], ["log", "--mark"]] {
            let shown = try screen(world.bob, words, environment: ["PAGER": "cat >/dev/null; false"])
            #expect(shown.code == 74 && shown.text.contains("nothing counts as seen"), "\(shown.text)")
        }
        #expect(!FileManager.default.fileExists(atPath: file))
        #expect(try world.bob("ls", "--json").objects().first?[int: "unread"] == 1)
        let shown = try screen(world.bob, ["log", "--cursor-file", file], environment: ["PAGER": "sed s/^/P/"])
        #expect(shown.code == 0 && shown.text.contains("P"))
        #expect(FileManager.default.fileExists(atPath: file))
        let environment = ["HOME": world.bob.home, "NATTER_SERVER": world.bob.server, "PATH": "/usr/bin:/bin"]
        let plain = try ChildProcess(
            "/usr/bin/script", ["-qec", "TERM=xterm PAGER= '\(try Programs.path("natter"))' log", "/dev/null"],
            environment: environment, input: .nothing
        ).finish()
        #expect(plain.code == 0 && plain.output.contains(": one") && !plain.output.contains("cannot run"))
    }

    @Test("a signal to end it leaves the terminal to its pager until that ends")
    func endedBehindPager() throws {
        let world = try World(says: "one")
        // The pause is for a natter that ends at once, and takes the terminal with it
        let pager = "cat; kill -TERM $PPID; read word </dev/tty; sleep 0.5; echo quit by $word"
        let running = try Screen.start(world.bob, ["log"], environment: ["NATTER_PAGER": pager])
        try running.output(until: ": one")
        running.type("q\n")
        let end = running.finish()
        #expect(end.code == 143 && end.output.contains("quit by q"), "\(end.output)")
    }

    @Test("ls: an '@' behind the number of unread messages if one has your name")
    func mentioned() throws {
        let world = try World(says: "one", "@bob two")
        #expect(try screen(world.bob, ["ls"], environment: ["NO_COLOR": "1"]).text.contains(" 2@ "))
        #expect(try world.bob("ls").output.contains(" 2 "))
    }

    @Test("--color always in a pipe: the line of a pipe, with colours on it")
    func always() throws {
        let world = try World(says: "one")
        let plain = try world.bob("log").output
        let painted = try world.bob("log", "--color", "always").output
        #expect(painted.contains("\u{1B}[") && painted.replacing(/\u{1B}\[[0-9;]*m/, with: "") == plain)
        #expect(try world.bob("search", "one", "--color", "always").output.contains("\u{1B}[1;31mone\u{1B}[m"))
        #expect(try !world.bob("log", "--color", "always", "--json").output.contains("\u{1B}"))
    }
}
