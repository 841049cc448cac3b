import NatterModel
import Testing
import TestSupport

@Suite("files that messages name")
struct FileRecordTests {
    private func record(name: String = "build log.txt", size: UInt64 = 1_300_000) throws -> FileRecord {
        let id = try #require(FileID(bytes: Array(0..<32)))
        return try #require(
            FileRecord(
                id: id, key: [UInt8](repeating: 0xAB, count: 16), size: size, type: "text/plain", name: name))
    }

    @Test(
        "a line gives back the record",
        arguments: ["a", "build log.txt", " two  spaces ", "Отчёт.pdf", "-x", "\u{202E}gpj.exe"])
    func roundTrip(name: String) throws {
        for size in [0, 1, UInt64(Int64.max)] {
            let record = try record(name: name, size: size)
            #expect(FileRecord(line: record.line.utf8) == record)
        }
        #expect(
            try record().line
                == "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f abababababababababababababababab 1300000 text/plain build log.txt"
        )
    }

    @Test("no other line is one")
    func others() throws {
        let line = try record().line
        let name = "build log.txt"
        for (old, new) in [
            ("000102", "0001"), ("000102", "00010G"), ("000102", "00010A"), ("abababab", "abab"),
            ("1300000", "01300000"),
            ("1300000", "-1"), ("1300000", "9223372036854775808"), ("text/plain", ""), ("text/plain", "téxt"),
            (name, ""), (name, "a/b"), (name, ".."), (name, "a\u{0}"), (name, "a\n"),
            (name, String(repeating: "x", count: 256)), (" text", "  text"),
        ] {
            #expect(FileRecord(line: line.replacing(old, with: new, maxReplacements: 1).utf8) == nil, "\(new)")
        }
        #expect(FileRecord(line: Array(line.utf8) + [0xFF]) == nil)
        for count in 0..<line.utf8.count - name.utf8.count { #expect(FileRecord(line: line.utf8.prefix(count)) == nil) }
    }

    @Test(
        "a name is the last part of a path",
        arguments: [
            ("a.png", "a.png"), ("../../etc/passwd", "passwd"), ("/a/b", "b"), ("C:\\x", "C:\\x"),
            ("a/\u{301}b", "\u{301}b"),
            (" ", " "), (".profile", ".profile"), ("...", "..."), ("я", "я"),
        ])
    func lastPart(path: String, name: String) {
        #expect(FileName.last(of: path) == name)
    }

    @Test(
        "what is left of a path may be no name",
        arguments: [
            "", "/", "a/", "..", "a/..", ".", "a\u{0}b", "a\nb", "\u{1B}[2J", "\u{7F}", "\u{85}",
            String(repeating: "я", count: 128),
        ])
    func noName(path: String) {
        #expect(FileName.last(of: path) == nil)
    }

    @Test("a name has at most 255 bytes")
    func longest() {
        #expect(FileName.last(of: String(repeating: "я", count: 127) + "x") != nil)
    }

    @Test("a type is told by the first bytes")
    func types() {
        func type(_ text: String) -> String { FileType.of(prefix: Array(text.utf8)) }
        #expect(FileType.of(prefix: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0]) == "image/png")
        #expect(FileType.of(prefix: [0xFF, 0xD8, 0xFF, 0xE0]) == "image/jpeg")
        #expect(type("GIF89a..") == "image/gif")
        #expect(type("GIF87a") == "image/gif")
        #expect(type("RIFF....WEBPVP8 ") == "image/webp")
        for text in ["", "GIF88a", "RIFF....WAVE", "<svg xmlns=", "<html>", "%PDF-1.7", "RIFF...."] {
            #expect(type(text) == "application/octet-stream")
        }
    }
}
