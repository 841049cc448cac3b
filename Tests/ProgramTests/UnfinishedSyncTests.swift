internal import Foundation
internal import Testing
internal import TestSupport

@Suite("a first sync that stopped early")
struct UnfinishedSyncTests {
    @Test("until it has come to its end, commands that read the replica say that it is not complete")
    func notes() throws {
        // Given more than a quick sync takes
        let world = try World(isServing: false)
        let random = try #require(FileHandle(forReadingAtPath: "/dev/urandom"))
        let lines = try (1...400).map { number in
            let text = try #require(try random.read(upToCount: 24_000)).base64EncodedString()
            return #"{"ts":\#(1_700_000_000_000 + number),"sender":"robot","text":"\#(text)"}"#
        }
        try world.importGeneral(lines.joined(separator: "\n") + "\n")
        #expect(try world.bob("log", "-n", "1", "--format", "%n").lines == ["400"])

        for (person, options) in [(world.bob, ["--offline"]), (world.bob.alone, [])] {
            for words in [["log", "-n", "1"], ["log"], ["ls"]] {
                let outcome = try person.run(options + words)
                #expect(outcome.code == 0 && isOneLine(outcome.errors), "\(words): \(outcome.errors)")
                #expect(outcome.errors.contains("not complete") && outcome.errors.contains("natter sync"))
                #expect(!outcome.bytes.isEmpty)
                let quiet = try person.run(options + words + ["--quiet"])
                #expect(quiet.code == 0 && quiet.errors.isEmpty && quiet.bytes == outcome.bytes, "\(quiet.errors)")
            }
            let export = try person.run(options + ["export", "general"])
            #expect(export.code == 74 && !export.bytes.isEmpty)
            #expect(export.errors.contains("not complete") && export.errors.contains("to 400 of 'general' are missing"))
        }
        let search = try world.bob("search", "nothing")
        #expect(search.code == 1 && isOneLine(search.errors) && search.errors.contains("not complete"))

        try expect(world.bob("sync"))
        #expect(try world.bob("--offline", "log", "-n", "1", "--format", "%n").lines == ["400"])
        for words in [["log"], ["export", "general"], ["ls"]] {
            try expect(world.bob.run(["--offline"] + words), isSilent: false)
        }
    }
}
