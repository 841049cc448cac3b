import NatterConversation
import NatterSystem
import NatterLog
import NatterModel
import NatterSearch
import SystemSupport
import Testing
import TestSupport

/// The messages and gaps that a walk has visited.
private struct Visited {
    var messages: [Message] = []
    var absent: [ClosedRange<Seq>] = []
    var damaged: [ClosedRange<Seq>] = []

    init(_ walk: ((LogPiece) throws -> Bool) throws -> Void) throws {
        var visited = (messages: [Message](), absent: [ClosedRange<Seq>](), damaged: [ClosedRange<Seq>]())
        try walk { piece in
            switch piece {
            case .messages(let run): visited.messages += run.messages()
            case .missing(_, let seqs, .notStored), .missing(_, let seqs, .notKept): visited.absent.append(seqs)
            case .missing(_, let seqs, .damaged): visited.damaged.append(seqs)
            }
            return true
        }
        (messages, absent, damaged) = visited
    }
}

@Suite("reading a log of sealed blocks, gaps, damage and a tail")
struct ReadingTests {
    @Test("single messages come in the given order, those that are stored together at once", arguments: seeds(1...6))
    func singleMessages(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let archive = try TestArchive()
        let log = try TestLog(1, in: archive, &random)
        let readable = Dictionary(uniqueKeysWithValues: log.messages.map { ($0.seq, $0) })
        let all = (1...log.reader.log.head.rawValue).map { Seq($0) }
        for seqs in [all, all.reversed(), all.filter { _ in Bool.random(using: &random) }, []] {
            var (visited, missing, runs) = ([Message](), [Seq](), [Seq]())
            try log.reader.visit(seqs) { piece in
                switch piece {
                case .messages(let run):
                    visited += run.messages()
                    runs.append(run.records.firstSeq)
                case .missing(_, let range, _):
                    missing += range.lowerBound == range.upperBound ? [range.lowerBound] : []
                }
            }
            #expect(visited == seqs.compactMap { readable[$0] })
            #expect(missing == seqs.filter { readable[$0] == nil })
            #expect(Set(runs).count == runs.count)
        }
    }

    private func filter(for log: TestLog, _ random: inout SeededGenerator) -> MessageFilter {
        let head = log.reader.log.head.rawValue
        var filter = MessageFilter()
        if Bool.random(using: &random) { filter.after = Seq(UInt64.random(in: 0...head, using: &random)) }
        if Bool.random(using: &random) { filter.before = Seq(UInt64.random(in: 1...head + 5, using: &random)) }
        if random.once(in: 3) { filter.since = log.messages.randomElement(using: &random)?.time }
        if random.once(in: 3) { filter.until = log.messages.randomElement(using: &random)?.time }
        if random.once(in: 3) { filter.senders = ["bob"] }
        if random.once(in: 3) { filter.unreadFor = "alice" }
        if random.once(in: 8) { filter.senders = ["carol"] }
        return filter
    }

    private func wants(_ filter: MessageFilter, _ message: Message) -> Bool {
        message.seq > filter.after && message.seq < filter.before ?? Seq(.max)
            && message.time >= filter.since ?? message.time && (filter.until.map { message.time < $0 } ?? true)
            && message.sender == filter.senders.first ?? message.sender && message.sender != filter.unreadFor
    }

    @Test("the newest by time are found wherever they stand, and visited by number", arguments: seeds(1...6))
    func newest(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let log = try TestLog(1, in: TestArchive(), isImported: true, &random)
        for _ in 0..<12 {
            var filter = filter(for: log, &random)
            (filter.unreadFor, filter.before) = (nil, nil)
            let count = [0, 1, 7, 40, 300].randomElement(using: &random) ?? 1
            let byTime = log.messages.filter { wants(filter, $0) }.sorted { ($0.time, $0.seq) < ($1.time, $1.seq) }
            let newest = try log.reader.newest(count, filter)
            let visited = try Visited { try log.reader.forward(newest, visit: $0) }.messages
            #expect(visited == byTime.suffix(count).sorted { $0.seq < $1.seq })
        }
    }

    @Test(
        "walks give what a plain filter of all messages gives, and all that is missing", arguments: seeds(1...6),
        [false, true])
    func walks(seed: UInt64, readsAhead: Bool) throws {
        var random = SeededGenerator(seed: seed)
        let archive = try TestArchive()
        let log = try TestLog(1, in: archive, &random)
        let reader = log.reader
        for _ in 0..<12 {
            // Given some filter
            let filter = filter(for: log, &random)
            let limit = [0, 1, 7, 300, .max].randomElement(using: &random) ?? .max
            let expected = log.messages.filter { wants(filter, $0) }
            let seqs = (first: filter.after.next, last: filter.last(reader.log.head))
            func clipped(_ runs: [ClosedRange<Seq>]) -> [ClosedRange<Seq>] {
                runs.filter { $0.upperBound >= seqs.first && $0.lowerBound <= seqs.last }
                    .map { max($0.lowerBound, seqs.first)...min($0.upperBound, seqs.last) }
            }
            let absent = seqs.first <= seqs.last ? clipped(log.absent) : []
            // A damaged block whose times the filter does not want is passed over unread.
            let damaged =
                seqs.first <= seqs.last
                ? clipped(
                    log.damaged.filter { filter.mayMatch(low: $0.lowTime, high: $0.highTime) }.map(\.seqs)) : []
            // When the log is walked through, then each message comes in order
            let forward = try Visited { try reader.forward(filter, visit: $0) }
            #expect(forward.messages == expected)
            #expect(forward.absent == absent)
            #expect(forward.damaged == damaged)
            let backward = try Visited { try reader.backward(filter, readsAhead: readsAhead, visit: $0) }
            #expect(backward.messages == expected.reversed())
            #expect(backward.absent == absent.reversed())
            #expect(backward.damaged == damaged.reversed())
            // and a limit ends the walk
            #expect(
                try Visited { try reader.forward(filter, limit: limit, visit: $0) }.messages
                    == Array(expected.prefix(limit)))
            #expect(
                try Visited { try reader.backward(filter, limit: limit, readsAhead: readsAhead, visit: $0) }.messages
                    == Array(expected.reversed().prefix(limit)))
            // and the newest can be found first
            var newest = filter
            newest.after = try reader.start(ofNewest: limit, filter)
            #expect(try Visited { try reader.forward(newest, visit: $0) }.messages == Array(expected.suffix(limit)))
            // and a walk with a small budget continues where it ended
            let budget = ReadBudget(blocks: 1, passedOver: 1)
            var (rest, pages) = (filter, [Message]())
            while true {
                var scanned = Seq.zero
                pages += try Visited { scanned = try reader.forward(rest, limit: 5, budget: budget, visit: $0) }
                    .messages
                guard scanned > rest.after else { break }
                rest.after = scanned
            }
            #expect(pages == expected)
            (rest, pages) = (filter, [])
            while true {
                var scanned = Seq.zero
                pages += try Visited { scanned = try reader.backward(rest, limit: 5, budget: budget, visit: $0) }
                    .messages
                guard scanned != rest.before else { break }
                rest.before = scanned
            }
            #expect(pages == expected.reversed())
        }
    }

    @Test("a merge gives all conversations by time, either way", arguments: seeds(1...3), [false, true])
    func merge(seed: UInt64, readsAhead: Bool) throws {
        var random = SeededGenerator(seed: seed)
        let archive = try TestArchive()
        let logs = try (1...4).map { try TestLog($0, in: archive, &random) }
        let keyed = logs.flatMap { zip($0.keys, $0.messages) }.sorted {
            ($0.0, $0.1.conversationID, $0.1.seq) < ($1.0, $1.1.conversationID, $1.1.seq)
        }
        let expected = keyed.map(\.1)
        let merge = LogMerge(logs.map(\.reader), MessageFilter())
        let forward = try Visited { try merge.walk(readsAhead: readsAhead, visit: $0) }
        #expect(forward.messages == expected)
        #expect(forward.absent.count == logs.reduce(0) { $0 + $1.absent.count })
        #expect(forward.damaged.count == logs.reduce(0) { $0 + $1.damaged.count })
        #expect(
            try Visited { try merge.walk(isNewestFirst: true, readsAhead: readsAhead, visit: $0) }.messages
                == expected.reversed())
        var filter = MessageFilter()
        filter.senders = ["BOB"]
        for isNewestFirst in [false, true] {
            let found = expected.filter { $0.sender == "bob" }
            let ofBob = LogMerge(logs.map(\.reader), filter)
            #expect(
                try Visited { try ofBob.walk(isNewestFirst: isNewestFirst, readsAhead: readsAhead, visit: $0) }.messages
                    == (isNewestFirst ? found.reversed() : found))
        }
        for limit in [0, 1, 20, 333] {
            #expect(
                try Visited { try merge.walk(isNewestFirst: true, limit: limit, visit: $0) }.messages
                    == Array(expected.reversed().prefix(limit)))
            let newest = try merge.newest(limit)
            #expect(newest.from == nil)
            #expect(
                try Visited { try merge.walk(after: newest.after, visit: $0) }.messages
                    == Array(expected.suffix(limit)))
        }
    }

    @Test(
        "the newest of all conversations are found by time, wherever imported history stands", arguments: seeds(1...6))
    func newestOfAll(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let archive = try TestArchive()
        let logs = try (1...4).map { try TestLog($0, in: archive, isImported: true, &random) }
        let byTime = logs.flatMap(\.messages).sorted {
            ($0.time, $0.conversationID, $0.seq) < ($1.time, $1.conversationID, $1.seq)
        }
        for count in [0, 1, 7, 40, 300] {
            var filter = MessageFilter()
            let newest = try LogMerge(logs.map(\.reader), filter).newest(count)
            filter.newestFrom = newest.from
            let merge = LogMerge(logs.map(\.reader), filter)
            let found = try Visited { try merge.walk(after: newest.after, visit: $0) }.messages
            let isLess = { (one: Message, other: Message) in
                (one.conversationID, one.seq) < (other.conversationID, other.seq)
            }
            #expect(found.sorted(by: isLess) == byTime.suffix(count).sorted(by: isLess))
        }
    }

    @Test("the chain at a seq is known if its message, or the one after it, can be read", arguments: seeds(1...6))
    func hashes(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let archive = try TestArchive()
        let log = try TestLog(1, in: archive, &random)
        let head = log.reader.log.head
        let readable = Set(log.messages.map(\.seq))
        for (place, hash) in log.chain.enumerated() {
            let seq = Seq(UInt64(place))
            let isKnown = seq == .zero || readable.contains(seq) || log.starts.contains(seq.next)
            let expected = seq == head ? log.reader.log.hash : isKnown ? hash : nil
            #expect(try log.reader.hash(at: seq) == expected)
            let cursor = MessageCursor(conversation: log.reader.log.id, seq: seq, hashPrefix: hash.prefix)
            #expect(try log.reader.standing(of: cursor) == (expected == nil ? .unknown(seq) : .good(seq)))
        }
        #expect(try log.reader.hash(at: head.next) == nil)
    }

    @Test("the feed indexes texts alone, and damage either takes its numbers or ends it", arguments: seeds(1...6))
    func feed(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let archive = try TestArchive()
        let log = try TestLog(1, in: archive, &random)
        let (reader, head) = (log.reader, log.reader.log.head)
        let query = try SearchQuery("word")
        let expected = Array(log.messages.filter { $0.kind == .text }.map(\.seq).reversed())
        // When an index is fed in steps, then it finds the texts
        let index = try SearchIndex.openForWriting(path: archive.directory("search.db"))
        var next = Seq(1)
        while next <= head {
            try index.write { writer in
                next = try SearchFeed.add(reader, from: next, through: head, limit: 50, skipsDamage: true, to: writer)
                    .next
            }
        }
        var found: [Seq] = []
        try index.search(query, in: reader.log.id) { hit in
            found.append(hit.seq)
            return .next
        }
        #expect(found == expected)
        #expect(try index.indexedUpTo(reader.log.id) == head)
        // as a scan does
        var scanned: [Seq] = []
        try SearchScan(query).scan(reader, Seq(1)...head) { run in
            scanned += run.messages().map(\.seq)
            return true
        }
        #expect(scanned == expected)
        // and one that stops at damage stops before it
        let strict = try SearchIndex.openForWriting(path: archive.directory("strict.db"))
        try strict.write { writer in
            let reached = try SearchFeed.add(
                reader, from: Seq(1), through: head, limit: .max, skipsDamage: false, to: writer)
            #expect(reached == log.damaged.first?.seqs.lowerBound.previous ?? head)
        }
    }
}

@Suite("log files that must go")
struct RetiredFilesTests {
    @Test("a removal that could not be synced is synced by the next attempt, although the file is gone by then")
    func unsynced() throws {
        let disk = SimulatedDisk()
        try disk.makeDirectories("/data/logs")
        try disk.replaceContents(of: "/data/logs/old", with: [1, 2, 3])
        let files = RetiredFiles(directory: "/data", disk: disk)
        disk.set(fault: DiskFault([.syncDirectory], code: 5, lasts: false))
        #expect(throws: DiskError.self) { try files.wipe("logs/old") }
        #expect(try disk.information("/data/logs/old") == nil)
        // Without a sync, the file may be back after a power loss
        disk.set(fault: DiskFault([.syncDirectory], number: 1_000, code: 5, lasts: false))
        try files.wipe("logs/old")
        #expect(disk.matchingCalls == 1)
        // A directory that is gone, too, is no error
        try files.wipe("logs/none/old")
    }
}
