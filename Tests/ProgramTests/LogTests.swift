internal import Foundation
internal import Glibc
internal import RegexBuilder
internal import Testing
internal import TestSupport

@Suite("log")
struct LogTests {
    /// Four messages of another time and two of now.
    private func imported() throws -> World {
        let world = try World()
        let day = 86_400_000
        let lines = [
            JSON.line(ts: 1_700_000_000_000, sender: "bob", text: "one"),
            JSON.line(ts: 1_700_000_000_000 + day, sender: "carol", text: "two"),
            JSON.line(ts: 1_700_000_000_000 - day, sender: "bob", text: "three"),
            JSON.line(ts: 1_700_000_000_000 + 2 * day, sender: "Old Friend", text: "four"),
        ]
        try world.importGeneral(lines.joined())
        try world.alice.sends("five")
        try world.bob.sends("six")
        return world
    }

    @Test("prints general, oldest first, a line a message, from the replica after a sync")
    func plain() throws {
        let world = try World()
        try world.alice.sends("one", "two\nlines\n\nof it \n  ")
        let outcome = try world.bob("log")
        #expect(outcome.code == 0 && outcome.errors.isEmpty)
        let time = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/
        let lines = outcome.output.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count == 7)
        #expect(
            lines.first?.wholeMatch(
                of: Regex {
                    time; " alice: one"
                }) != nil)
        #expect(
            lines.dropFirst().first?.wholeMatch(
                of: Regex {
                    time; " alice: two"
                }) != nil)
        #expect(lines.dropFirst(2) == ["\tlines", "\t", "\tof it ", "\t  ", ""])
        // An empty log is done as well.
        #expect(try world.bob("log", "@alice").code == 0)
    }

    @Test(
        "selections",
        arguments: [
            ([], "one two three four five six"), (["general"], "one two three four five six"),
            (["GENERAL"], "one two three four five six"),
            (["-n", "2"], "five six"), (["-n0"], ""), (["-n", "100"], "one two three four five six"),
            (["--after", "4"], "five six"), (["--after", "3", "-n", "1"], "four"), (["--before", "3"], "one two"),
            (["--before", "3", "-n", "1"], "two"), (["--after", "1", "--before", "4"], "two three"),
            (["--after", "99"], ""), (["--reverse"], "six five four three two one"),
            (["--reverse", "-n", "2"], "six five"), (["--from", "bob"], "one three six"),
            (["--from", "bob", "-n", "2"], "one six"), (["--from", "Old Friend"], "four"),
            (["--from=nix"], ""),
            (["--since", "2023-11-14T22:13:20Z", "--until", "2023-11-15T22:13:20Z"], "one"),
            (["--since", "2023-11-14T23:13:20.001+01:00", "--until", "2023-11-16T22:13:20Z"], "two"),
            (["--since", "@1700000000", "--until", "@1700086400.001"], "one two"),
            (["--until", "2023-11-14"], "three"), (["--since", "2023-11-14", "--until", "2023-11-15"], "one"),
            (["--since", "yesterday"], "five six"), (["--since", "today"], "five six"),
            (["--since", "-2h"], "five six"), (["--until", "-2h"], "one two three four"),
            (["--since=-1d", "--from", "alice"], "five"), (["--since", "now"], ""),
            (["--around", "3", "-n", "3"], "two three four"), (["--around", "6", "-n", "3"], "four five six"),
            (["--around", "1", "-n", "3"], "one two three"),
            (["--around", "3", "-n", "9"], "one two three four five six"),
            (["--reverse", "--after", "2", "-n", "2"], "four three"), (["--before", "5", "-n", "2"], "three four"),
            (["--since", "@4000000000"], ""), (["--until", "@0"], ""),
        ] as [([String], String)])
    func selections(words: [String], texts: String) throws {
        let world = try LogTests.shared.get()
        // It is noon where today is asked for, so that no midnight comes between.
        let hour = Int(Date().timeIntervalSince1970) / 3_600 % 24
        let zone = words.contains("today") ? ["TZ": "NOON\(hour - 12)"] : [:]
        let outcome = try world.alice.run(["log", "--format", "%m"] + words, environment: zone)
        // A note explains why nothing can be there.
        let isExplained = words == ["--from=nix"] || words == ["--since", "@4000000000"]
        #expect(outcome.code == 0 && outcome.errors.isEmpty != isExplained)
        #expect(outcome.lines.joined(separator: " ") == texts)
        // Offline, the same.
        let offline = try world.alice.run(["--offline", "log", "--format", "%m"] + words, environment: zone)
        #expect(offline.bytes == outcome.bytes)
    }

    private static let shared = Result { () throws -> World in
        let world = try LogTests().imported()
        _ = try world.alice("sync")
        return world
    }

    @Test("--all prints every conversation by time, its name before the sender's")
    func all() throws {
        let world = try World(says: "first")
        try world.alice.sends("second", to: "@bob")
        try world.bob.sends("third", to: "@alice")
        try world.bob.sends("fourth")
        let lines = try world.alice("log", "--all").lines.map { String($0.dropFirst(25)) }
        #expect(
            lines == ["general alice: first", "@bob alice: second", "@bob bob: third", "general bob: fourth"])
        #expect(
            try world.carol("log", "--all", "--format", "%c %n %s %m").lines == [
                "general 1 alice first", "general 2 bob fourth",
            ])
    }

    @Test("an unknown conversation is 67, online and offline; with an existing user it is empty")
    func unknown() throws {
        let world = try LogTests.shared.get()
        for words in [["log", "nix"], ["log", "@nix"], ["log", "nix", "--offline"], ["log", "@nix", "--offline"]] {
            let outcome = try world.alice.run(words)
            #expect(outcome.code == 67 && isOneLine(outcome.errors), "\(words)")
        }
        #expect(try world.alice("log", "@bob").code == 0)
        #expect(try world.alice("log", "@bob", "--offline").code == 0)
    }

    @Test("an unreachable server: the replica, a note of its age, status 0")
    func serverDown() throws {
        let world = try World(says: "kept")
        let online = try world.alice("log")
        world.stopServing()
        let outcome = try world.alice("log")
        #expect(outcome.code == 0)
        #expect(outcome.bytes == online.bytes)
        #expect(isOneLine(outcome.errors) && outcome.errors.contains("ago") || outcome.errors.contains("now"))
        #expect(try world.alice("log", "--quiet").errors.isEmpty)
        // With --offline nothing was tried, so there is nothing to note.
        #expect(try world.alice("log", "--offline").errors.isEmpty)
        // When nothing was ever synced
        for words in [["log"], ["log", "--offline"], ["search", "x"], ["sync"], ["users"]] {
            let never = try world.bob.run(words)
            #expect(never.code == 69 && isOneLine(never.errors) && never.bytes.isEmpty, "\(words)")
        }
    }

    @Test("--exit-code: 1 if nothing is new")
    func exitCode() throws {
        let world = try World()
        #expect(try world.alice("log", "--exit-code").code == 1)
        try world.alice.sends("x")
        #expect(try world.alice("log", "--exit-code").code == 0)
        #expect(try world.alice("log", "--exit-code", "--after", "1").code == 1)
    }

    @Test("a thread, and a message with many replies, say that there are more than are printed")
    func longThread() throws {
        let world = try World()
        let lines = (1...10_002).map { seq in
            #"{"ts":\#(1_700_000_000_000 + seq),"sender":"x","text":"\#(seq)","seq":\#(seq)"#
                + (seq > 2 ? #","about":2}"# : "}")
        }
        // Given 10,000 replies
        try world.importGeneral(lines.joined(separator: "\n"))
        let thread = try world.bob("log", "--thread", "7", "--format", "%n")
        #expect(thread.code == 0 && thread.lines == (2...10_001).map { "\($0)" })
        #expect(
            isOneLine(thread.errors) && thread.errors.contains("'natter log general --numbers --after 2'"), "\(thread)")
        #expect(try world.bob("log", "--numbers", "--after", "2").lines.count == 10_000)
        let shown = try world.bob("show", "general", "2")
        #expect(shown.lines.contains { $0.hasPrefix("replies: 3 4 ") && $0.hasSuffix(" 1002") })
        #expect(isOneLine(shown.errors) && shown.errors.contains("'natter log general --raw --after 2'"), "\(shown)")
        // A complete list has no note
        for words in [["log", "--thread", "1"], ["show", "general", "3"], ["log", "--thread", "7", "--quiet"]] {
            try expect(world.bob.run(words), isSilent: false)
        }
    }

    @Test("the newest page needs no full sync; a request for everything gets everything")
    func manyMessages() throws {
        let world = try World()
        let text = String(repeating: "long text ", count: 20)
        let lines = (1...3_000).map { JSON.line(ts: 1_700_000_000_000 + $0, sender: "bot", text: "\($0) \(text)") }
        try world.importGeneral(lines.joined())
        #expect(try world.alice("log", "-n", "2", "--format", "%n").lines == ["2999", "3000"])
        #expect(try world.bob("log", "--format", "%n").lines == (1...3_000).map { "\($0)" })
        #expect(try world.bob("log", "--offline", "--before", "3").lines.count == 2)
    }
}
