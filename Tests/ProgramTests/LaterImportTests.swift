internal import Foundation
internal import Testing
internal import TestSupport

/// Later exports of the same group: what is new in them is added, and nothing else.
@Suite("natterd import --from: later exports")
struct LaterImportTests {
    private let world: World

    init() throws { world = try World(isServing: false) }

    /// A message of the export, at a second after 14 November 2023.
    private struct Line {
        var second = 0
        var sender = "x"
        let text: String
        var edited: Int?
        var answers: Int?
    }

    /// Imports a group of Telegram. Its messages are numbered from 1.
    ///
    /// - Returns: how many are new, and how many known.
    private func take(_ lines: Line...) throws -> [Int?] {
        let messages = try lines.enumerated().map { index, line in
            var fields = [
                "\"id\":\(index + 1)", "\"type\":\"message\"", "\"from\":\"\(line.sender)\"",
                "\"date_unixtime\":\"\(1_700_000_000 + line.second)\"",
                "\"text\":" + String(decoding: try JSONEncoder().encode(line.text), as: UTF8.self),
            ]
            if let edited = line.edited { fields.append("\"edited_unixtime\":\"\(1_700_000_000 + edited)\"") }
            if let answers = line.answers { fields.append("\"reply_to_message_id\":\(answers)") }
            return "{\(fields.joined(separator: ","))}"
        }
        let export =
            "{\"name\":\"ops\",\"type\":\"private_group\",\"id\":1,\"messages\":[\(messages.joined(separator: ","))]}"
        let outcome = try world.natterd(
            ["import", "--json", "--from", "telegram", "-"], input: .text(export))
        #expect(outcome.code == 0, "\(outcome)")
        let report = try outcome.objects().first
        return [report?[int: "count"], report?[int: "known"]]
    }

    /// The texts of the group that people see.
    private func texts() throws -> [String] {
        try world.natterd("export", "ops").objects().map { $0[string: "text"] ?? "" }
    }

    @Test("a text edited since becomes an edit, also back to what it was; an older export changes nothing")
    func edits() throws {
        #expect(try take(Line(text: "at 5")) == [1, 0])
        #expect(try take(Line(text: "at 6", edited: 500)) == [1, 0])
        for _ in 0..<2 { #expect(try take(Line(text: "at 6", edited: 500)) == [0, 1]) }
        #expect(try take(Line(text: "at 5")) == [0, 1])
        let answer = Line(second: 900, sender: "y", text: "ok", answers: 1)
        #expect(try take(Line(text: "at 7", edited: 700), answer) == [2, 0])
        #expect(try take(Line(text: "at 6", edited: 500), answer) == [0, 2])
        #expect(try take(Line(text: "at 6b", edited: 600), answer) == [0, 2])
        #expect(try texts() == ["at 7", "ok"])
        #expect(try take(Line(text: "at 5", edited: 1_000)) == [1, 0])
        #expect(try texts() == ["at 5", "ok"])
        let records = try world.natterd("export", "--raw", "ops").objects()
        #expect(records.map { $0[int: "about"] } == [nil, 1, 1, 1, 1])
        let seconds = records.map { ($0[int: "ts"] ?? 0) / 1_000 - 1_700_000_000 }
        #expect(seconds == [0, 500, 700, 900, 1_000])
    }

    @Test("a message that was edited before its first import is known in its earlier form, too")
    func olderExport() throws {
        #expect(try take(Line(text: "new", edited: 500)) == [2, 0])
        #expect(try take(Line(text: "old")) == [0, 1])
        #expect(try texts() == ["new"])
    }

    @Test("of one sender in one second: none is lost, and none gets another one's text")
    func sameSecond() throws {
        #expect(try take(Line(text: "first")) == [1, 0])
        #expect(try take(Line(text: "first"), Line(text: "second", edited: 10)) == [2, 1])
        #expect(try texts() == ["first", "second"])
        // If two may be meant, none is changed
        #expect(try take(Line(text: "first, edited", edited: 20), Line(text: "second", edited: 10)) == [0, 2])
        #expect(try texts() == ["first", "second"])
        #expect(
            try take(Line(text: "first"), Line(text: "third", edited: 20), Line(text: "fourth", edited: 30)) == [3, 1])
        #expect(try texts() == ["first", "third", "fourth"])
    }

    @Test("very many lines of one minute take no minutes to be known again")
    func sameMinute() throws {
        let lines = (1...30_000).map { "07:24 < bot> line \($0)\n" }
        let log = try world.directory.write(
            "ops.log", "--- Log opened Wed Jan 01 00:00:00 2025\n" + lines.joined())
        func take() throws -> Outcome {
            // The command is given 5 s of processor time. With a look at each one before, 20,000 took 2.6 s, and twice as many four times.
            try ChildProcess(
                "/bin/sh",
                [
                    "-c", "ulimit -t 5; exec \"$0\" \"$@\"", Programs.path("natterd"), "--data", world.data, "import",
                    "--json", "--from", "irssi", log,
                ], environment: World.store(of: world.data).merging(["HOME": world.directory.path, "TZ": "UTC"]) { $1 }
            ).finish()
        }
        #expect(try take().objects().first?[int: "count"] == 30_000)
        #expect(try take().objects().first?[int: "known"] == 30_000)
    }

    @Test("an erased message does not come back, although its sender has others of that time", arguments: [1, 2])
    func erasedOfSameTime(seq: Int) throws {
        let lines = (Line(text: "my password"), Line(text: "oops"))
        #expect(try take(lines.0, lines.1) == [2, 0])
        try expect(world.natterd("erase", "ops", "\(seq)", "--yes"), hasNotes: true)
        #expect(try take(lines.0, lines.1) == [0, 2])
        #expect(try texts() == (seq == 1 ? ["", "oops"] : ["my password", ""]))
        #expect(try take(lines.0, lines.1, Line(second: 1, text: "new")) == [1, 2])
    }

    @Test("of what was deleted here, an edit is left out and an answer is plain; a raw export can be imported")
    func deleted() throws {
        let secret = "{\"ts\":1700000000000,\"sender\":\"x\",\"text\":\"secret\"}\n"
        let deletion = "{\"ts\":1700000001000,\"sender\":\"x\",\"kind\":\"delete\",\"about\":1}\n"
        let history = secret.replacing("{", with: "{\"seq\":1,", maxReplacements: 1) + deletion
        #expect(try world.natterd("import", "ops", "-", input: .text(history)).code == 0)
        let answer = Line(second: 9, sender: "y", text: "what was it?", answers: 1)
        #expect(try take(Line(text: "secret, edited", edited: 5), answer) == [1, 1])
        #expect(try texts() == ["", "what was it?"])
        let raw = try world.natterd("export", "--raw", "ops")
        #expect(try raw.objects().map { $0[int: "about"] } == [nil, 1, nil])
        try expect(world.natterd("import", "copy", "-", input: .text(raw.output)), hasNotes: true)
    }

    @Test("the end of a long text is edited; an erased original, and an erased message, do not come back")
    func longAndErased() throws {
        let start = String(repeating: "y", count: 65_000) + "\n"
        #expect(try take(Line(text: start + String(repeating: "T", count: 600))) == [2, 0])
        let edited = Line(text: start + String(repeating: "U", count: 600), edited: 500)
        #expect(try take(edited) == [1, 1])
        #expect(try texts().last == String(repeating: "U", count: 600))
        #expect(try take(edited) == [0, 2])
        // The original of an edit goes after some days; others when somebody asks for it
        let other = Line(second: 7, text: "secret")
        #expect(try take(edited, other) == [1, 2])
        #expect(try world.natterd("erase", "ops", "4").code == 0)
        #expect(try take(edited, other) == [0, 3])
        #expect(try texts().suffix(1) == [""])
    }
}
