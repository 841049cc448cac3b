internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

/// Writers and readers of one conversation while the server is killed again and again, and what they saw.
@Suite("the history that many see while the server is killed")
struct HistoryTests {
    /// What one reader or writer may not see otherwise than another.
    private final class Ledger: @unchecked Sendable {
        // Unchecked: everything is behind the lock.
        private let lock = NSLock()
        private var texts: [Int: String] = [:]
        private var seqs: [String: Int] = [:]
        private var violations: [String] = []
        private var currentURL: String
        private var isOver = false
        private(set) var acknowledged = 0

        init(url: String) { currentURL = url }

        private func locked<Result>(_ body: () -> Result) -> Result {
            lock.lock()
            defer { lock.unlock() }
            return body()
        }

        var url: String {
            get { locked { currentURL } }
            set { locked { currentURL = newValue } }
        }
        var isStopping: Bool { locked { isOver } }
        func stop() { locked { isOver = true } }
        var found: [String] { locked { violations } }
        func report(_ violation: String) { locked { violations.append(violation) } }
        var history: [Int: String] { locked { texts } }
        var count: Int { locked { acknowledged } }

        /// Records a message's seq, as its writer or a reader sees it.
        func note(_ seq: Int, _ text: String, isAcknowledgement: Bool = false) {
            locked {
                if isAcknowledgement { acknowledged += 1 }
                if let other = texts.updateValue(text, forKey: seq), other != text {
                    violations.append("\(seq) is '\(other)' and '\(text)'")
                }
                if let other = seqs.updateValue(seq, forKey: text), other != seq {
                    violations.append("'\(text)' is \(other) and \(seq)")
                }
            }
        }
    }

    private static let path = "/v1/conversations/general/messages"

    /// How often the server is killed: `NATTER_KILLS`, 25 unless given; `NATTER_KILLS_SEED` says when.
    private static let kills = number("NATTER_KILLS") ?? 25
    private static let seed = UInt64(number("NATTER_KILLS_SEED") ?? 1)

    private static func number(_ name: String) -> Int? {
        ProcessInfo.processInfo.environment[name].flatMap { Int($0) }
    }

    @Test(
        "16 writers and 16 readers: numbers are dense, writers read their writes, no read is undone",
        arguments: [seed])
    func linearizable(seed: UInt64) throws {
        let world = try World()
        let tokens = try ["alice", "bob", "carol"].map { try world.person($0).token() }
        let ledger = Ledger(url: world.url)
        let group = DispatchGroup()
        // Threads of their own: waiting for the network must not wait for a pool.
        func start(_ body: @escaping @Sendable () -> Void) {
            group.enter()
            Thread.detachNewThread {
                body()
                group.leave()
            }
        }
        for number in 0..<16 {
            start { HistoryTests.write(number, tokens[number % 3], ledger) }
            start { HistoryTests.read(tokens[number % 3], ledger) }
        }
        // When the server is killed at random moments
        var generator = SeededGenerator(seed: seed)
        var slowest = 0.0
        for _ in 0..<HistoryTests.kills {
            usleep(UInt32.random(in: 20_000...250_000, using: &generator))
            world.killServer()
            let began = Date()
            try world.serve()
            slowest = max(slowest, Date().timeIntervalSince(began))
            ledger.url = world.url
        }
        usleep(100_000)
        ledger.stop()
        group.wait()
        // Then all saw one history, without a hole
        #expect(ledger.found.isEmpty, "\(ledger.found.prefix(5))")
        world.stopServing()
        #expect(try world.natterd("fsck").code == 0)
        let exported = try world.natterd("export", "general").objects().map { $0[string: "text"] ?? "" }
        #expect(Set(exported).count == exported.count)
        for (seq, text) in ledger.history { #expect(seq <= exported.count && exported[seq - 1] == text) }
        // A start reads the unsealed messages, not the history.
        #expect(slowest < 10)
        print(
            "kills: seed \(seed), \(HistoryTests.kills) kills, \(ledger.count) acknowledged of \(exported.count) messages, slowest "
                + "start \(Int(slowest * 1_000)) ms")
    }

    /// Sends one message after another, each until it is acknowledged, and reads it then.
    private static func write(_ number: Int, _ token: String, _ ledger: Ledger) {
        var count = 0
        while !ledger.isStopping {
            count += 1
            let text = "\(number)-\(count)"
            let body = Array("{\"conversation\":\"general\",\"text\":\"\(text)\",\"id\":\"\(text)\"}".utf8)
            var seq: Int?
            while seq == nil, !ledger.isStopping {
                let answer = try? RawRequest.send(
                    "POST", "/v1/messages", to: ledger.url, token: token, headers: ["Content-Type: application/json"],
                    body: body)
                guard let answer, let object = try? JSON(parsing: answer.text) else {
                    usleep(2_000)
                    continue
                }
                switch answer.status {
                case 200, 201: seq = object[int: "seq"]
                case 503: usleep(2_000)
                default: return ledger.report("a message was answered \(answer.status) \(answer.text)")
                }
            }
            guard let seq else { return }
            ledger.note(seq, text, isAcknowledgement: true)
            while !ledger.isStopping {
                guard let page = page(after: seq - 1, token, ledger) else { continue }
                guard page.messages.first?.seq == seq, page.messages.first?.text == text else {
                    return ledger.report("\(seq) was acknowledged, and is not read")
                }
                break
            }
        }
    }

    private static func read(_ token: String, _ ledger: Ledger) {
        var (last, head) = (0, 0)
        while !ledger.isStopping {
            guard let page = page(after: last, token, ledger) else { continue }
            if page.head < head { return ledger.report("the head fell from \(head) to \(page.head)") }
            head = page.head
            for message in page.messages {
                guard message.seq == last + 1 else {
                    return ledger.report("after \(last) came \(message.seq)")
                }
                last = message.seq
                ledger.note(message.seq, message.text)
            }
        }
    }

    /// - Returns: nil if the server is down.
    private static func page(
        after seq: Int, _ token: String, _ ledger: Ledger
    ) -> (messages: [(seq: Int, text: String)], head: Int)? {
        guard
            let answer = try? RawRequest.send("GET", "\(path)?after=\(seq)&limit=200", to: ledger.url, token: token),
            answer.status == 200, let object = try? JSON(parsing: answer.text), let head = object[int: "head"]
        else {
            usleep(2_000)
            return nil
        }
        return (object[objects: "messages"].map { ($0[int: "seq"] ?? 0, $0[string: "text"] ?? "") }, head)
    }
}
