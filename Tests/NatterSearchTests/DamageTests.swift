import NatterModel
import NatterSearch
import NatterSystem
import Testing
import TestSupport

/// A damaged index gives right answers or says that it is damaged; it is never wrong, and can always be made anew.
@Suite("search: damage")
struct DamageTests {
    private static let queries = ["common", "word7", "number2*", "\"word7 number107\"", "common -word8", "nowhere"]
    private static let texts = (0..<1_500).map { "common word\($0 % 100) number\($0) and some more text to fill pages" }

    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func build() throws -> SearchIndex {
        let index = try SearchIndex.openForWriting(path: directory.index)
        for start in stride(from: 0, to: DamageTests.texts.count, by: 300) {
            for conversation in [general, random] {
                try index.add(
                    Array(DamageTests.texts[start..<start + 300]), to: conversation, from: UInt64(start) + 1)
            }
        }
        return index
    }

    private func rightAnswers() throws -> [[Place]] {
        let index = try build()
        try index.checkpoint()
        return try DamageTests.queries.map { try index.hits($0) }
    }

    /// Asks everything; whatever is answered must be right.
    /// - Returns: how many answers there were.
    private func ask(_ right: [[Place]], _ remark: String) throws -> Int {
        guard let reader = SearchIndex.openForReading(path: directory.index) else { return 0 }
        var answers = 0
        for (query, expected) in zip(DamageTests.queries, right) {
            do {
                let hits = try reader.hits(query)
                #expect(hits == expected, "\(remark): \(query)")
                answers += 1
            } catch let error as SearchIndexError {
                guard case .corrupt = error else {
                    Issue.record("\(remark): \(error)")
                    continue
                }
            }
        }
        return answers
    }

    /// What the owner of the index does.
    private func heal() throws {
        do {
            let index = try SearchIndex.openForWriting(path: directory.index)
            try index.integrityCheck()
        } catch SearchIndexError.corrupt {
            try SearchIndex.discard(path: directory.index)
        }
        let index = try SearchIndex.openForWriting(path: directory.index)
        try index.integrityCheck()
        let head = try index.indexedUpTo(general).rawValue
        try index.add(["healed"], to: general, from: head + 1)
        #expect(try index.seqs("healed") == [head + 1])
    }

    @Test("a byte flipped anywhere in the file")
    func flips() throws {
        let right = try rightAnswers()
        let whole = try PosixDisk().contents(of: directory.index, limit: 1 << 24)
        let places = Array(0..<128) + Array(stride(from: 128, to: whole.count, by: max(1, whole.count / 500)))
        #expect(places.count >= 600)
        var answers = 0
        for (turn, place) in places.enumerated() {
            var bytes = whole
            bytes[place] ^= turn % 2 == 0 ? 1 << UInt8(turn / 2 % 8) : 0xFF
            try SearchIndex.discard(path: directory.index)
            try PosixDisk().replaceContents(of: directory.index, with: bytes)
            answers += try ask(right, "byte \(place)")
            if turn % 10 == 0 { try heal() }
        }
        // Most damage touches only some of the answers.
        #expect(answers > places.count)
    }

    @Test("a file cut short")
    func cuts() throws {
        let right = try rightAnswers()
        let whole = try PosixDisk().contents(of: directory.index, limit: 1 << 24)
        let sizes = [0, 1, 15, 16, 99, 100, 511, 512, 4_095] + Array(stride(from: 4_096, to: whole.count, by: 2_048))
        for size in sizes {
            try SearchIndex.discard(path: directory.index)
            try PosixDisk().replaceContents(of: directory.index, with: Array(whole[..<size]))
            _ = try ask(right, "cut to \(size)")
            try heal()
        }
    }

    @Test("pages that were put in each other's place, or never written")
    func misplacedPages() throws {
        let right = try rightAnswers()
        let whole = try PosixDisk().contents(of: directory.index, limit: 1 << 24)
        let pages = whole.count / 4_096
        #expect(pages > 20)
        for page in 1..<pages {
            var bytes = whole
            let other = page == pages - 1 ? 1 : page + 1
            let source =
                page % 2 == 0 ? Array(whole[other * 4_096..<(other + 1) * 4_096]) : [UInt8](repeating: 0, count: 4_096)
            bytes.replaceSubrange(page * 4_096..<(page + 1) * 4_096, with: source)
            try SearchIndex.discard(path: directory.index)
            try PosixDisk().replaceContents(of: directory.index, with: bytes)
            _ = try ask(right, "page \(page)")
        }
        try heal()
    }

    @Test("a byte flipped in the WAL: the remaining coverage is right")
    func walFlips() throws {
        // Given an index that is whole only together with its WAL
        let index = try build()
        let wal = directory.index + "-wal"
        let main = try PosixDisk().contents(of: directory.index, limit: 1 << 24)
        let whole = try PosixDisk().contents(of: wal, limit: 1 << 24)
        let right = try index.hits("common")
        #expect(whole.count > 100_000)
        let copy = directory.path + "/copy.db"
        // When it is opened with a byte of that changed
        for place in Array(0..<64) + Array(stride(from: 64, to: whole.count, by: whole.count / 300)) {
            var bytes = whole
            bytes[place] ^= 0x40
            try SearchIndex.discard(path: copy)
            try PosixDisk().replaceContents(of: copy, with: main)
            try PosixDisk().replaceContents(of: copy + "-wal", with: bytes)
            guard let reader = SearchIndex.openForReading(path: copy) else { continue }
            // Then it ends with a transaction before the damage
            let heads = try reader.heads()
            let expected = right.filter { hit in
                guard let head = heads[hit.conversation] else { return false }
                return Seq(hit.seq) <= head
            }
            #expect(try Set(reader.hits("common")) == Set(expected), "byte \(place)")
        }
    }
}
