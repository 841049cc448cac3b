internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

/// `fixtures/exchange` has what a released natter and natterd said to each other. Programs of different versions meet on
/// every network, so today's natter must understand that natterd, and today's natterd that natter.
///
/// `NATTER_RECORD=FILE swift test --filter ExchangeTests` records the programs of today.
@Suite("programs of different versions")
struct ExchangeTests {
    /// A command with what it printed, and each request with its answer.
    struct Step: Codable, Sendable {
        var home: String
        var words: [String]
        var code: Int32 = 0
        var output = ""
        var exchanges: [Exchange] = []
    }

    struct Exchange: Codable, Sendable {
        let request: Data
        let answer: Data
    }

    private static let commands: [(home: String, words: [String])] = [
        ("alice", ["register", "alice", "--password-stdin"]), ("bob", ["register", "bob", "--password-stdin"]),
        ("alice", ["whoami"]), ("alice", ["send", "one"]), ("alice", ["send", "--json", "two"]), ("bob", ["log"]),
        ("bob", ["send", "--re", "1", "an answer"]), ("alice", ["edit", "1", "uno"]), ("alice", ["delete", "2"]),
        ("alice", ["pm", "bob", "psst"]), ("alice", ["group", "create", "ops"]),
        ("alice", ["group", "add", "ops", "bob"]), ("bob", ["sync"]), ("bob", ["log", "--all", "--json"]),
        ("bob", ["log", "-n", "1"]), ("bob", ["ls"]), ("bob", ["mark"]), ("bob", ["users"]),
        ("bob", ["show", "general", "1"]), ("alice", ["group", "rename", "ops", "crew"]), ("bob", ["search", "uno"]),
        ("alice", ["token", "create", "--scope", "send:general"]), ("alice", ["contact"]), ("bob", ["group"]),
        ("alice", ["logout"]), ("alice", ["login", "alice", "--password-stdin"]), ("alice", ["status", "--json"]),
    ]

    private static let recordings = Files.below("\(Programs.packageRoot)/fixtures/exchange").filter {
        $0.hasSuffix(".ndjson")
    }.sorted()

    private func read(_ path: String) throws -> [Step] {
        try #require(Files.bytes(path)).split(separator: 0x0A).map {
            try JSONDecoder().decode(Step.self, from: Data($0))
        }
    }

    /// Runs a command by way of a relay, whose address is another one each time.
    private func run(_ step: Step, _ directory: TemporaryDirectory, _ url: String) throws -> Outcome {
        let outcome = try Person(name: step.home, home: directory(step.home), server: url).run(
            step.words, input: .bytes(Array("\(World.password)\n".utf8)))
        return Outcome(
            code: outcome.code, output: outcome.output.replacing(url, with: "URL"), errors: outcome.errors)
    }

    @Test("a recording of today's programs is one that they understand")
    func recorded() throws {
        let directory = try TemporaryDirectory()
        let daemon = try Daemon(data: directory("data"))
        let port = try #require(UInt16(daemon.url.split(separator: ":").last ?? ""))
        let relay = try Relay { Loopback.exchange($0, with: port) }
        var steps: [Step] = []
        for (home, words) in Self.commands {
            var step = Step(home: home, words: words)
            let outcome = try run(step, directory, relay.url)
            #expect(outcome.code == 0, "\(words): \(outcome)")
            (step.code, step.output, step.exchanges) = (outcome.code, outcome.output, relay.take())
            steps.append(step)
        }
        relay.stop()
        #expect(daemon.stop().code == 0)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let lines = try steps.map { String(decoding: try encoder.encode($0), as: UTF8.self) + "\n" }.joined()
        let path = directory("recording")
        try Files.write(Array(lines.utf8), to: path)
        if let target = ProcessInfo.processInfo.environment["NATTER_RECORD"], !target.isEmpty {
            try Files.write(Array(lines.utf8), to: target, mode: 0o644)
        }
        try client(path)
        try server(path)
    }

    @Test("today's natter does with an earlier natterd's answers what the natter of then did", arguments: recordings)
    func client(_ path: String) throws {
        let directory = try TemporaryDirectory()
        // One address for all, as it was.
        let rest = Shared<ArraySlice<Exchange>>([])
        let relay = try Relay { request in
            let next = rest.withLock { $0.popFirst() }
            guard let next, Self.target(request) == Self.target(Array(next.request)) else { return nil }
            return Array(next.answer)
        }
        for step in try read(path) {
            rest.withLock { $0 = step.exchanges[...] }
            let outcome = try run(step, directory, relay.url)
            #expect(outcome.code == step.code && outcome.output == step.output, "\(step.words): \(outcome)")
            #expect(rest.withLock { $0.isEmpty }, "\(step.words) asked less than it did")
        }
        relay.stop()
    }

    @Test(
        "today's natterd answers an earlier natter's requests with all that they were answered then",
        arguments: recordings)
    func server(_ path: String) throws {
        let directory = try TemporaryDirectory()
        let daemon = try Daemon(data: directory("data"))
        let port = try #require(UInt16(daemon.url.split(separator: ":").last ?? ""))
        /// Texts that differ at each run: tokens, ids and cursors.
        var replaced: [String: String] = [:]
        for step in try read(path) {
            for exchange in step.exchanges {
                var request = String(decoding: exchange.request, as: UTF8.self)
                for (old, new) in replaced { request = request.replacing(old, with: new) }
                let then = try #require(Message(Array(exchange.answer)))
                let now = try #require(Loopback.exchange(Array(request.utf8), with: port).flatMap { Message($0) })
                let what = "\(step.words): \(Self.target(Array(exchange.request)))"
                #expect(now.status == then.status, "\(what): \(now.text)")
                #expect(now.headers["content-type"] == then.headers["content-type"], "\(what)")
                if let old = then.headers["natter-cursor"], let new = now.headers["natter-cursor"] {
                    replaced[old] = new
                }
                #expect(then.objects.count == now.objects.count, "\(what): \(now.text)")
                for (old, new) in zip(then.objects, now.objects) { compare(old, new, &replaced, what) }
            }
        }
        #expect(daemon.stop().code == 0)
    }

    /// Each field of then is there now, with a value of the same type.
    private func compare(_ then: Any, _ now: Any, _ replaced: inout [String: String], _ path: String) {
        switch (then, now) {
        case (let then as [String: Any], let now as [String: Any]):
            for (key, value) in then {
                guard let other = now[key] else {
                    Issue.record("\(path)/\(key) is missing")
                    continue
                }
                compare(value, other, &replaced, "\(path)/\(key)")
            }
        case (let then as [Any], let now as [Any]):
            #expect(then.count == now.count, "\(path)")
            for (old, new) in zip(then, now) { compare(old, new, &replaced, "\(path)[]") }
        case (let then as String, let now as String):
            if then.utf8.count >= 20, then != now { replaced[then] = now }
        default: #expect(type(of: then) == type(of: now), "\(path): \(then), \(now)")
        }
    }

    /// Method and path of a request.
    private static func target(_ request: [UInt8]) -> String {
        let line = String(decoding: request.prefix { $0 != 0x0D }, as: UTF8.self)
        return line.split(whereSeparator: " ?".contains).prefix(2).joined(separator: " ")
    }
}

/// An answer, taken apart.
private struct Message {
    let status: String
    let headers: [String: String]
    let text: String

    init?(_ bytes: [UInt8]) {
        let parts = String(decoding: bytes, as: UTF8.self).split(separator: "\r\n\r\n", maxSplits: 1)
        guard let lines = parts.first?.split(separator: "\r\n"), let first = lines.first else { return nil }
        status = String(first.split(separator: " ").dropFirst().first ?? "")
        headers = Dictionary(
            lines.dropFirst().map { line in
                let fields = line.split(separator: ":", maxSplits: 1)
                return (fields[0].lowercased(), fields.last?.trimmingCharacters(in: .whitespaces) ?? "")
            }, uniquingKeysWith: { $1 })
        text = parts.count > 1 ? String(parts[1]) : ""
    }

    /// The objects of JSON or of lines of it; none of stored blocks.
    var objects: [Any] {
        guard headers["content-type"]?.contains("json") == true else { return [] }
        return text.split(whereSeparator: \.isNewline).compactMap {
            try? JSONSerialization.jsonObject(with: Data($0.utf8))
        }
    }
}

/// Takes requests on a port, one connection after the other, and keeps them with what `answer` gives for them.
private final class Relay: Sendable {
    let url: String
    private let listener: Int32
    private let kept = Shared<[ExchangeTests.Exchange]>([])

    init(_ answer: @escaping @Sendable ([UInt8]) -> [UInt8]?) throws {
        let (listener, port) = try Loopback.listen()
        (self.listener, url) = (listener, "http://127.0.0.1:\(port)")
        Thread.detachNewThread { [kept] in
            while case let client = accept(listener, nil, nil), client >= 0 {
                while let request = Loopback.message(from: client), let bytes = answer(request) {
                    kept.withLock { $0.append(.init(request: Data(request), answer: Data(bytes))) }
                    guard Loopback.send(bytes, to: client) else { break }
                }
                close(client)
            }
        }
    }

    /// The exchanges since the last call.
    func take() -> [ExchangeTests.Exchange] {
        kept.withLock { kept in
            defer { kept = [] }
            return kept
        }
    }

    func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }
}
