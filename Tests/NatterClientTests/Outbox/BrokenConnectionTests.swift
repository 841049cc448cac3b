import Glibc
import NatterClient
import NatterSystem
import NatterProtocol
import ServerSupport
import Testing
import TestSupport

@Suite("connections that break", .serialized)
struct BrokenConnectionTests {
    private let server: TestServer

    init() throws { server = try TestServer() }

    @Test("lines over a connection that is cut at random are there once, in order", arguments: UInt64(1)...6)
    func lines(seed: UInt64) throws {
        let alice = try server.user("alice")
        let proxy = try CuttingProxy(to: server.port, seed: seed, cuts: 8, bytes: 1...300_000)
        let lines = (1...1_500).map { "line \($0)" }
        let outcome = try alice.with(server: proxy.url).send(
            "--lines", "--json", "--timeout", "120", input: Array(lines.joined(separator: "\n").utf8))
        #expect(outcome.code == 0, "\(outcome.errors)")
        #expect(difference(outcome.messages.map(\.text), lines) == nil)
        #expect(try difference(alice.texts(), lines) == nil)
        #expect(proxy.cuts > 0)
    }

    @Test(
        "lines get through a link that cuts each connection early, because less is sent at once",
        arguments: UInt64(1)...2)
    func narrow(seed: UInt64) throws {
        let alice = try server.user("alice")
        let proxy = try CuttingProxy(to: server.port, seed: seed, cuts: .max, bytes: 20_000...30_000)
        let lines = (1...1_500).map { "line \($0)" }
        let outcome = try alice.with(server: proxy.url).send(
            "--lines", "--timeout", "120", input: Array(lines.joined(separator: "\n").utf8))
        #expect(outcome.code == 0, "\(outcome.errors)")
        #expect(try difference(alice.texts(), lines) == nil)
    }

    @Test(
        "if the connection stays broken, the error names the line and the id to continue with", arguments: UInt64(1)...6
    )
    func resume(seed: UInt64) throws {
        let alice = try server.user("alice")
        let proxy = try CuttingProxy(
            to: server.port, seed: seed, cuts: 1_000, bytes: 150_000...400_000, endsThere: true)
        let lines = (1...4_000).map { "line \($0)" }
        let input = Array(lines.joined(separator: "\n").utf8)
        // Given a run that is cut off, or on a busy machine has given up before
        let outcome = try alice.with(server: proxy.url).send("--lines", "--json", "--timeout", "0.5", input: input)
        #expect(outcome.code == 69 && outcome.errors.contains("line "), "\(outcome.errors)")
        let words = outcome.errors.split(whereSeparator: { " :\"".contains($0) }).map(String.init)
        let place = try #require(words.firstIndex(of: "--id"))
        let key = words[place + 1]
        // When the command is repeated with the id that it named
        let again = try alice.send("--lines", "--id", key, input: input)
        #expect(again.code == 0, "\(again.errors)")
        // Then each line is there once, and every reported one is there
        #expect(try difference(alice.texts(), lines) == nil)
        #expect(difference(outcome.messages.map(\.text), Array(lines.prefix(outcome.messages.count))) == nil)
    }

    /// Forwards to the server, but keeps the answer to the first message, and answers the later ones itself.
    private func forgettingProxy(_ answers: (status: String, body: String)...) throws -> Proxy {
        let posts = Monitor(0)
        let port = server.port
        return try Proxy { client in
            guard let request = Loopback.message(from: client) else { return }
            guard request.starts(with: Array("POST /v1/messages".utf8)) else {
                _ = Loopback.exchange(request, with: port).map { Loopback.send($0, to: client) }
                return
            }
            let number = posts.signal { posts -> Int in
                posts += 1
                return posts
            }
            if number == 1 { return _ = Loopback.exchange(request, with: port) }
            let (status, body) = answers[min(number - 2, answers.count - 1)]
            let head = "HTTP/1.1 \(status)\r\nContent-Type: application/json\r\nConnection: close\r\n"
            Loopback.send(Array((head + "Content-Length: \(body.utf8.count)\r\n\r\n" + body).utf8), to: client)
        }
    }

    @Test(
        "what is refused after an answer was lost may be there: the error names the id, and nothing is there twice",
        arguments: ["401 unauthorized", "403 forbidden", "500 io_error", "507 disk_full"], [false, true])
    func refusedAfterwards(refusal: String, isLines: Bool) throws {
        let alice = try server.user("alice")
        let words = refusal.split(separator: " ")
        let proxy = try forgettingProxy((refusal, #"{"error":{"code":"\#(words[1])","message":"no"}}"#))
        let broken = alice.with(server: proxy.url)
        let input = Array("once\n".utf8)
        let outcome =
            isLines
            ? try broken.send("--lines", "--timeout", "3", input: input) : broken("send", "--timeout", "3", "once")
        #expect(outcome.code == 69, "\(outcome.errors)")
        let parts = outcome.errors.split(whereSeparator: { " :\n".contains($0) }).map(String.init)
        let place = try #require(parts.firstIndex(of: "--id"))
        let id = parts[place + 1]
        let again = isLines ? try alice.send("--lines", "--id", id, input: input) : alice("send", "--id", id, "once")
        #expect(again.code == 0, "\(again.errors)")
        #expect(try alice.texts() == ["once"])
    }

    private func tried(_ person: Person) throws -> [Bool] {
        var tried: [Bool] = []
        try person.outbox.forEach(waitingOnly: true) { entry in
            tried.append(entry.tried != nil)
            return true
        }
        return tried
    }

    @Test("what an answer that was lost may have confirmed counts as tried, whatever is refused after it")
    func refusedBetween() throws {
        let alice = try server.user("alice")
        for text in ["one", "two", "three"] { #expect(alice("send", "--queue", "--offline", text).code == 0) }
        let refused = #"{"error":{"code":"no_such_conversation","message":"no"},"line":1}"# + "\n"
        let busy = #"{"error":{"code":"busy","message":"no"}}"#
        let proxy = try forgettingProxy(
            ("200 OK\r\nNatter-Store: \(alice.store)", refused), ("503 Service Unavailable", busy))
        #expect(alice.with(server: proxy.url)("outbox", "retry", "--timeout", "2").code != 0)
        #expect(try tried(alice) == [true, true])
        #expect(try alice.texts() == ["one", "two", "three"])
    }

    @Test("a queued message whose answer can't be read counts as tried, and stays", arguments: [false, true])
    func unreadable(hasOthers: Bool) throws {
        let alice = try server.user("alice")
        if hasOthers { #expect(alice("send", "--queue", "--offline", "before").code == 0) }
        let proxy = try forgettingProxy(("401 Unauthorized", "<html>"))
        #expect(alice.with(server: proxy.url)("send", "--queue", "--timeout", "3", "once").code == 0)
        #expect(try tried(alice) == (hasOthers ? [true, true] : [true]))
        #expect(alice("sync").code == 0)
        #expect(try alice.texts() == (hasOthers ? ["before", "once"] : ["once"]))
    }

    @Test("an outbox delivered over a connection that is cut is there once, in order", arguments: UInt64(1)...6)
    func outbox(seed: UInt64) throws {
        let alice = try server.user("alice")
        let requests = (1...1_500).map { SendRequest(conversation: "general", text: "message \($0)", id: "m:\($0)") }
        _ = try alice.outbox.add(requests, at: SystemClock().now())
        let proxy = try CuttingProxy(to: server.port, seed: seed, cuts: 8, bytes: 1...250_000)
        // Each command goes as far as it comes.
        let broken = alice.with(server: proxy.url)
        for _ in 0..<50 where try alice.outbox.hasWaiting() { _ = broken("sync", "--timeout", "60") }
        #expect(try !alice.outbox.hasWaiting())
        #expect(try difference(alice.texts(), (1...1_500).map { "message \($0)" }) == nil)
        #expect(proxy.cuts > 0)
    }

    @Test("another address than that of the login costs a quick sync 2 s if nothing answers there")
    func silentAddress() throws {
        let alice = try server.user("alice")
        #expect(alice("sync").code == 0)
        let silent = try Proxy { client in
            var byte: UInt8 = 0
            while recv(client, &byte, 1, 0) > 0 {}
        }
        let start = MonotonicClock.now()
        #expect(alice.with(server: silent.url)("log").code == 0)
        // The usual timeout is 30 s
        #expect(MonotonicClock.now() - start < 15_000)
    }

    @Test(
        "requests and answers lost, doubled, delayed and reordered: each message once, in order",
        arguments: UInt64(1)...3)
    func unsteady(seed: UInt64) throws {
        let names = ["alice", "bob", "carol", "dave"]
        let people = try names.map { try server.user($0) }
        let proxy = try UnsteadyProxy(to: server.port, seed: seed, share: 30)
        // When four send at once: lines in batches, one by one with an id of their own, and out of the outbox
        let failures = Monitor<[String]>([])
        let threads = try people.enumerated().map { index, person in
            try SystemThread(name: "test-sender") {
                let broken = person.with(server: proxy.url)
                let texts = (1...60).map { "\(names[index]) \($0)" }
                do {
                    switch index {
                    case 0, 1:
                        for part in stride(from: 0, to: 60, by: 10) {
                            let input = Array(texts[part..<part + 10].joined(separator: "\n").utf8)
                            let outcome = try broken.send(
                                "--lines", "--id", "\(names[index])-\(part)", "--timeout", "60", input: input)
                            if outcome.code != 0 { throw Failure(outcome.errors) }
                        }
                    case 2:
                        for text in texts {
                            var tries = 0
                            while broken("send", "--id", text, "--timeout", "5", text).code != 0 {
                                tries += 1
                                if tries > 50 { throw Failure("'\(text)' does not get through") }
                            }
                        }
                    default:
                        for text in texts { _ = broken("send", "--queue", "--timeout", "0.5", text) }
                        for _ in 0..<50 where try person.outbox.hasWaiting() { _ = broken("sync", "--timeout", "5") }
                    }
                } catch {
                    failures.withLock { $0.append("\(names[index]): \(error)") }
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(failures.withLock { $0 } == [])
        // Then each message is there once, each sender's in order
        let all = try people[0].texts()
        #expect(all.count == 240)
        for name in names {
            let texts = all.filter { $0.hasPrefix(name + " ") }
            #expect(difference(texts, (1...60).map { "\(name) \($0)" }) == nil)
        }
        #expect(proxy.counts.count == UnsteadyProxy.Trouble.allCases.count)
        print(
            "unsteady network: seed \(seed), \(proxy.passed) requests passed, \(proxy.counts.values.reduce(0, +)) troubled"
        )
    }
}
