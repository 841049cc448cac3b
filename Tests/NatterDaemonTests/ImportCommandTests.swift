import NatterSystem
import NatterProtocol
import Testing
import TestSupport

@testable import NatterDaemon

@Suite("natterd import and export")
struct ImportCommandTests {
    private let texts = [
        "plain", "", "a \"quoted\" \\ one", "new\nline\ttab\r\u{1}\u{1F}\u{7F}", "Маша 👩‍👩‍👧 e\u{301}", "</script>",
    ]
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private var data: String { directory.path + "/data" }

    @Test("an import is exported unchanged, in the form of export lines")
    func roundTrip() throws {
        let senders = ["|trey|", "Маша", "with space", String(repeating: "x", count: 64)]
        let input = texts.enumerated().map { line(Int64($0) * 1_000 - 2_000, senders[$0 % 4], $1) }.joined()
        let file = try directory.write("in.ndjson", input)
        // When a file is imported, and its export imported into another conversation
        let imported = natterd("import", "--old", "general", file, "--data", data, "--json")
        #expect(imported.code == 0)
        #expect(imported.output == #"{"conversation":"general","count":6,"first":1,"last":6}"# + "\n")
        let first = natterd("--data", data, "export", "general")
        #expect(first.code == 0 && first.errors == "")
        let again = try directory.write("again.ndjson", first.bytes)
        #expect(natterd("import", "--old", "copy", again, "--data", data).code == 0)
        // Then both exports are the same
        #expect(natterd("export", "copy", "--data", data).bytes == first.bytes)
        // and each line is the encoder's output for the message
        #expect(first.lines.count == texts.count)
        for (index, exported) in first.lines.enumerated() {
            let parsed = try WireJSON.decode(ExportLine.self, from: Array(exported.utf8))
            #expect(parsed.seq == UInt64(index + 1))
            #expect(parsed.text.unicodeScalars.elementsEqual(texts[index].unicodeScalars))
            #expect(parsed.sender == senders[index % 4])
            #expect(parsed.ts == Int64(index) * 1_000 - 2_000)
            #expect(String(decoding: WireJSON.encode(parsed), as: UTF8.self) == exported)
        }
    }

    @Test("blank lines are skipped, a last line needs no newline, other fields and seqs are ignored")
    func leniency() throws {
        let file = try directory.write(
            "in",
            "\n \t\r\n{\"seq\":\"x\",\"ts\":1,\"sender\":\"a\",\"text\":\"b\",\"more\":[{}]}\r\n\n{\"text\":\"c\",\"sender\":\"d\",\"ts\":2}"
        )
        #expect(natterd("import", "--old", "general", file, "--data", data).code == 0)
        let lines = natterd("export", "general", "--data", data).lines
        #expect(lines == [#"{"sender":"a","seq":1,"text":"b","ts":1}"#, #"{"sender":"d","seq":2,"text":"c","ts":2}"#])
    }

    @Test("a byte order mark before the first line is no part of it")
    func byteOrderMark() throws {
        let file = try directory.write("in", "\u{FEFF}" + line(1, "a", "b") + line(2, "a", "\u{FEFF}c"))
        #expect(natterd("import", "--old", "general", file, "--data", data).code == 0)
        let lines = natterd("export", "general", "--data", data).lines
        #expect(
            try lines.map { try WireJSON.decode(ExportLine.self, from: Array($0.utf8)).text } == ["b", "\u{FEFF}c"])
    }

    static let bad: [(String, String)] = [
        ("not json", "not a JSON object"), ("{\"ts\":1,\"sender\":\"a\"", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("[1]", "not a JSON object"), ("null", "not a JSON object"),
        ("{\"ts\":1,\"sender\":\"a\",\"text\":\"b\",\"about\":-1}", "'about'"),
        ("{\"ts\":1,\"sender\":\"a\",\"text\":\"b\",\"written\":99999999999999999999}", "'written'"),
        ("{\"ts\":99999999999999999999,\"sender\":\"a\",\"text\":\"b\"}", "'ts'"),
        ("{\"ts\":1,\"sender\":\"a\",\"text\":\"b\"},{\"ts\":1,\"sender\":\"a\",\"text\":\"b\"}", "not a JSON object"),
        ("{\"sender\":\"a\",\"text\":\"b\"}", "'ts'"), ("{\"ts\":\"1\",\"sender\":\"a\",\"text\":\"b\"}", "'ts'"),
        ("{\"ts\":1.5,\"sender\":\"a\",\"text\":\"b\"}", "whole milliseconds"),
        ("{\"ts\":1,\"sender\":null,\"text\":\"b\"}", "'sender'"),
        ("{\"ts\":1,\"sender\":\"a\",\"text\":7}", "'text'"), ("{\"ts\":1,\"sender\":\"a\"}", "'text'"),
        ("{\"ts\":1,\"sender\":\"\",\"text\":\"b\"}", "sender has 0"),
        ("{\"ts\":1,\"sender\":\"\(String(repeating: "я", count: 33))\",\"text\":\"b\"}", "66 bytes"),
        ("{\"ts\":1,\"sender\":\"a\",\"text\":\"\\u0000\"}", "U+0000"),
        ("{\"ts\":1,\"sender\":\"a\",\"text\":\"\u{0}\"}", "line 3"),
        ("{\"ts\":1,\"sender\":\"a\",\"text\":\"\(String(repeating: "x", count: 65_537))\"}", "65537"),
        ("{\"ts\":1795086400002,\"sender\":\"a\",\"text\":\"b\"}", "day in the future"),
        ("{\"ts\":-62167219200001,\"sender\":\"a\",\"text\":\"b\"}", "years 0 to 9999"),
        ("{\"ts\":1,\"sender\":\"a\",\"text\":\"\\ud800\"}", "line 3"),
        ("{\"ts\":1,\"sender\":\"a\",\"text\":\"b\"}" + String(repeating: " ", count: 1 << 20), "longer than 1048576"),
    ]

    @Test("a bad line is 65 with its number, and nothing is kept", arguments: bad.indices)
    func badLine(index: Int) throws {
        let (bad, word) = ImportCommandTests.bad[index]
        let file = try directory.write("in", "\n" + line(1, "a", "good") + bad + "\n" + line(1, "a", "good"))
        let outcome = natterd("import", "--old", "new", file, "--data", data)
        #expect(outcome.code == 65)
        #expect(outcome.errors.contains("'\(file)', line 3: "), "\(outcome.errors)")
        #expect(outcome.errors.contains(word), "\(outcome.errors)")
        #expect(outcome.errors.filter { $0 == "\n" }.count == 1)
        #expect(natterd("export", "new", "--data", data).code == 67)
        #expect(natterd("fsck", "--data", data).code == 0)
    }

    @Test("bytes that are not UTF-8 are a bad line")
    func notUTF8() throws {
        for bytes: [UInt8] in [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xE2, 0x82]] {
            let file = try directory.write(
                "in", Array("{\"ts\":1,\"sender\":\"a\",\"text\":\"".utf8) + bytes + Array("\"}\n".utf8))
            let outcome = natterd("import", "--old", "general", file, "--data", data)
            #expect(outcome.code == 65 && outcome.errors.contains("line 1: "), "\(outcome.errors)")
        }
    }

    /// Lines about the earlier ones of `life` that the data model forbids, and a word of the error.
    static let forbidden: [(String, String)] = [
        (#""kind":"edit","about":3,"text":"x""#, "itself an edit"),
        (#""kind":"edit","about":5,"text":"x""#, "itself an edit"),
        (#""kind":"edit","about":4,"text":"x""#, "event"), (#""kind":"delete","about":3,"text":"""#, "itself an edit"),
        (#""kind":"delete","about":5,"text":"""#, "itself an edit"),
        (#""kind":"delete","about":2,"text":"x""#, "deletion has no text"),
        (#""about":3,"text":"x""#, "itself an edit"),
        (#""about":4,"text":"x""#, "no text"), (#""about":5,"text":"x""#, "itself an edit"),
        (#""kind":"event","about":2,"text":"x""#, "about no message"),
        (#""about":1,"text":"x""#, "is deleted"), (#""kind":"edit","about":1,"text":"x""#, "is deleted"),
        (#""kind":"delete","about":1"#, "is deleted"), (#""kind":"edit","about":2"#, "'text'"),
    ]

    /// One message of each kind: a text, a reply, an edit of it, an event, a deletion of the text, one of the event.
    private static let life = [
        #""text":"one""#, #""about":1,"text":"re""#, #""kind":"edit","about":2,"text":"re: one""#,
        #""kind":"event","text":"created""#, #""kind":"delete","about":1,"text":"""#,
        #""kind":"delete","about":4"#, #""kind":"edit","about":2,"text":"","erased":true,"sender":"""#,
        #""about":2,"text":"last""#,
    ]

    private func file(_ records: [String]) -> String {
        records.enumerated().map { index, fields in
            let sender = fields.contains("sender") ? "" : #","sender":"a""#
            return "{\"seq\":\(index + 1),\"ts\":\(index)\(sender),\(fields)}\n"
        }.joined()
    }

    @Test("a record that the data model forbids is a bad line, and nothing is kept", arguments: forbidden.indices)
    func forbiddenRecord(index: Int) throws {
        let (record, word) = ImportCommandTests.forbidden[index]
        let directory = try TemporaryDirectory()
        let input = try directory.write("in", file(ImportCommandTests.life + [record]))
        let outcome = natterd("import", "--old", "new", input, "--data", directory.path + "/data")
        #expect(outcome.code == 65)
        #expect(outcome.errors.contains("line 9: ") && outcome.errors.contains(word), "\(outcome.errors)")
        #expect(natterd("export", "new", "--data", directory.path + "/data").code == 67)
    }

    @Test("what an export writes can be imported", arguments: [[], ["--raw"]])
    func everyKind(options: [String]) throws {
        let directory = try TemporaryDirectory()
        let data = ["--data", directory.path + "/data"]
        let input = try directory.write("in", file(ImportCommandTests.life))
        #expect(natterd(words: ["import", "--old", "general", input] + data).code == 0)
        let first = natterd(words: ["export", "general"] + options + data)
        #expect(first.lines.count == (options.isEmpty ? 4 : 8))
        // Twice in one file: the second begins behind the first.
        let again = try directory.write("again", first.bytes + first.bytes)
        let outcome = natterd(words: ["import", "--old", "copy", again] + data)
        #expect(outcome.code == 0, "\(outcome.errors)")
        let copy = natterd(words: ["export", "copy"] + options + data)
        if !options.isEmpty { #expect(Array(copy.lines.prefix(8)) == first.lines) }
        // The deleted text and the deleted event have lines without their deletions, unless the export is raw.
        #expect(copy.lines.count == 2 * (options.isEmpty ? 2 : 8))
        #expect(outcome.errors.contains("not taken: 4 deleted") == options.isEmpty)
    }

    @Test(
        "a deleted message is left out and counted; an answer to it is plain, and later lines keep what they are about")
    func deletedLines() throws {
        func deleted(_ seq: String) -> String {
            "{\"deleted\":true,\(seq)\"ts\":1,\"sender\":\"a\",\"text\":\"\"}\n"
        }
        let input =
            deleted("\"seq\":1,") + #"{"seq":2,"ts":2,"sender":"b","text":"re","about":1}"# + "\n\n" + deleted("")
            + #"{"seq":3,"ts":3,"sender":"b","text":"re re","about":2}"# + "\n"
        let file = try directory.write("in", input)
        let words = ["import", "--old", "general", file, "--data", data]
        let trial = natterd(words: words + ["--dry-run", "--json"])
        #expect(
            trial.output == #"{"conversation":"general","count":2,"first":0,"last":0,"skipped":{"deleted":2}}"# + "\n")
        let outcome = natterd(words: words)
        #expect(outcome.code == 0 && outcome.errors.contains("not taken: 2 deleted"), "\(outcome.errors)")
        #expect(
            natterd("export", "general", "--data", data).lines == [
                #"{"sender":"b","seq":1,"text":"re","ts":2}"#,
                #"{"about":1,"sender":"b","seq":2,"text":"re re","ts":3}"#,
            ])
        // With its deletion it keeps its place; a bad line is named by its number; a mark that is none says nothing.
        let deletion = #"{"seq":9,"ts":9,"sender":"a","kind":"delete","about":1}"# + "\n"
        let raw = try directory.write("raw", input + deletion)
        let second = natterd("import", "--old", "raw", raw, "--data", data)
        #expect(second.code == 0 && second.errors.contains("not taken: 1 deleted"), "\(second.errors)")
        #expect(natterd("export", "--raw", "raw", "--data", data).lines.count == 4)
        let bad = try directory.write("bad", input + "{}\n")
        let third = natterd("import", "--old", "bad", bad, "--data", data)
        #expect(third.code == 65 && third.errors.contains("line 6: "), "\(third.errors)")
        let other = try directory.write("other", #"{"ts":1,"sender":"a","text":"","deleted":"no"}"# + "\n")
        #expect(natterd("import", "--old", "other", other, "--data", data).code == 0)
        #expect(natterd("export", "other", "--data", data).lines.count == 1)
    }

    @Test("names of groups are NFC, and case-insensitive")
    func names() throws {
        let file = try directory.write("in", line(1, "a", "b"))
        #expect(
            natterd("import", "--old", "Cafe\u{301}", file, "--data", data, "--json").lines == [
                #"{"conversation":"Café","count":1,"first":1,"last":1}"#
            ])
        #expect(
            natterd("import", "--old", "--again", "CAFÉ", file, "--data", data, "--json").lines == [
                #"{"conversation":"Café","count":1,"first":2,"last":2}"#
            ])
        #expect(natterd("export", "café", "--data", data).lines.count == 2)
        for name in ["@alice,@bob", "@alice", "a b", "me", "x/y", "", "#x"] {
            #expect(natterd("import", "--old", name, file, "--data", data).code == 65, "\(name)")
        }
        #expect(natterd("export", "nowhere", "--data", data).code == 67)
        #expect(natterd("export", "@alice,@bob", "--data", data).code == 67)
    }

    @Test("a file that is not there, or a directory, is 66, and makes no group")
    func noFile() throws {
        #expect(natterd("import", "--old", "new", directory.path + "/none", "--data", data).code == 66)
        #expect(natterd("import", "--old", "new", directory.path, "--data", data).code == 66)
        #expect(natterd("export", "new", "--data", data).code == 67)
    }

    @Test("export of a damaged conversation prints undamaged messages, names the rest, and is 74; fsck is 1")
    func damaged() throws {
        let input = (1...4_000).map { line(Int64($0), "a", "message number \($0 &* 7_919) of several") }.joined()
        let file = try directory.write("in", input)
        #expect(natterd("import", "--old", "general", file, "--data", data).code == 0)
        #expect(natterd("fsck", "--data", data).bytes == [])
        let log = try #require(directory.files(".log").first)
        let size = try #require(try PosixDisk().information(log)).size
        try PosixDisk().open(log, .readWrite).write([0xFF, 0, 0xFF], at: size - 5)
        let outcome = natterd("export", "general", "--data", data)
        #expect(outcome.code == 74)
        let first = outcome.lines.count + 1
        #expect(outcome.errors.contains("messages \(first) to 4000 of 'general' can't be read: "))
        #expect(first > 1 && first < 4_000)
        let check = natterd("fsck", "--data", data)
        #expect(check.code == 1)
        #expect(check.lines.count == 1 && check.output.contains("'\(log)' at byte "))
        #expect(check.output.contains("messages \(first) to 4000 of 'general'"))
        let json = natterd("fsck", "--data", data, "--json")
        #expect(json.code == 1 && json.errors == "")
        #expect(json.output.contains("\"from\":\(first),\"offset\":") && json.output.contains("\"to\":4000"))
    }
}
