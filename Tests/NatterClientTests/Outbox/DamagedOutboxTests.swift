import Glibc
import NatterModel
import NatterSQLite
import NatterSystem
import NatterWire
import ServerSupport
import Testing
import TestSupport

@testable import NatterClient

@Suite("a damaged outbox")
struct DamagedOutboxTests {
    private let disk = PosixDisk()

    private func request(_ number: Int) -> SendRequest {
        SendRequest(
            conversation: "general", text: "message \(number) " + String(repeating: "x", count: 400), id: "id-\(number)"
        )
    }

    private func ids(_ outbox: Outbox) throws -> [String] {
        var found: [String] = []
        try outbox.forEach { entry in
            found.append(entry.request.id ?? "")
            return true
        }
        return found
    }

    /// The databases that an outbox of 60 messages becomes if one of its pages is damaged, or all are.
    private func damagedFiles(_ directory: TemporaryDirectory) throws -> [[UInt8]] {
        let whole = Outbox(OutboxLocation(directory: directory("whole")))
        _ = try whole.add((1...60).map(request), at: Timestamp(milliseconds: 1))
        let bytes = try disk.contents(of: directory("whole/outbox.db"), limit: 1 << 20)
        let places = Array(stride(from: 2_000, to: bytes.count, by: 4_096))
        return (places.map { [$0] } + [places]).map { places in
            var damaged = bytes
            for place in places { damaged[place] ^= 0x5A }
            return damaged
        }
    }

    @Test("a flipped bit in any page is flipped back, and all messages wait")
    func flippedBit() throws {
        let directory = try TemporaryDirectory()
        let whole = Outbox(OutboxLocation(directory: directory("whole")))
        _ = try whole.add((1...60).map(request), at: Timestamp(milliseconds: 1))
        let bytes = try disk.contents(of: directory("whole/outbox.db"), limit: 1 << 20)
        for (number, place) in stride(from: 99, to: bytes.count, by: 1_777).enumerated() {
            var flipped = bytes
            flipped[place] ^= 1 << UInt8(number % 8)
            try directory.write("\(number)/outbox.db", flipped)
            let outbox = Outbox(OutboxLocation(directory: directory("\(number)")))
            #expect(try ids(outbox) == (1...60).map { "id-\($0)" }, "byte \(place)")
            #expect(try outbox.setAside().isEmpty, "byte \(place)")
        }
    }

    @Test("messages that the disk has not written are told as lost, and what the outbox was is kept")
    func lostWrite() throws {
        let directory = try TemporaryDirectory()
        let outbox = Outbox(OutboxLocation(directory: directory("home")))
        _ = try outbox.add((1...2).map(request), at: Timestamp(milliseconds: 1))
        let path = outbox.location.databasePath
        let page = try #require(
            try Connection(path: path, role: .reader)
                .row("SELECT rootpage FROM sqlite_schema WHERE name='entry'") { $0.uint64(0) })
        let former = try disk.open(path, .read).read(count: 4_096, at: (page - 1) * 4_096)
        _ = try outbox.add([request(3)], at: Timestamp(milliseconds: 2))
        try outbox.check()
        try disk.open(path, .readWrite).write(former, at: (page - 1) * 4_096)
        #expect(throws: OutboxError.self) { try outbox.check() }
        #expect(throws: OutboxError.self) { _ = try outbox.add([request(3)], at: Timestamp(milliseconds: 3)) }
        #expect(try outbox.setAside().count == 1)
        #expect(try ids(outbox) == ["id-1", "id-2"])
    }

    @Test(
        "is repaired by what reads it: what can be read waits on, the damaged file is kept, and a loss is an error once"
    )
    func pages() throws {
        let directory = try TemporaryDirectory()
        let all = (1...60).map { "id-\($0)" }
        var outcomes: [Int] = []
        for (number, bytes) in try damagedFiles(directory).enumerated() {
            try directory.write("\(number)/outbox.db", bytes)
            var notes = 0
            let outbox = Outbox(OutboxLocation(directory: directory("\(number)"))) { _ in notes += 1 }
            var found: [String]
            do { found = try ids(outbox) } catch OutboxError.incomplete(let kept) {
                #expect(try disk.contents(of: kept, limit: 1 << 20) == bytes)
                found = try ids(outbox)
                #expect(notes == 0)
            }
            outcomes.append(found.count)
            // What is there is in order, and takes more
            #expect(all.filter(Set(found).contains) == found, "\(number)")
            _ = try outbox.add([request(61)], at: Timestamp(milliseconds: 2))
            #expect(try ids(outbox) == found + ["id-61"])
        }
        // A page has some ten messages. The first two lead to all others, but those are found without them, too.
        #expect(outcomes.prefix(2) == [60, 60] && outcomes.last == 0, "\(outcomes)")
        #expect(
            outcomes.dropFirst(2).dropLast().allSatisfy { $0 >= 45 } && outcomes.contains { (45..<60).contains($0) })
    }

    @Test("does not keep a sync from fetching")
    func sync() throws {
        let server = try TestServer()
        let (alice, bob) = (try server.user("alice"), try server.user("bob"))
        #expect(alice("sync").code == 0)
        for number in 1...60 { #expect(alice("send", "--queue", "--offline", request(number).text).code == 0) }
        #expect(bob("send", "for alice").code == 0)
        let file = alice.outbox.location.databasePath
        var bytes = try disk.contents(of: file, limit: 1 << 20)
        for place in stride(from: 2_000, to: bytes.count, by: 4_096).dropFirst() { bytes[place] ^= 0x5A }
        try disk.replaceContents(of: file, with: bytes)
        let sync = alice("sync")
        #expect(sync.code == 74 && sync.errors.contains("outbox.db.damaged"), "\(sync)")
        #expect(try alice.texts("log", "--offline").contains("for alice"))
        #expect(alice("sync").code == 0)
    }

    @Test(
        "a message whose answer a proxy replaced is sent once, and the error names its id", arguments: [false, true],
        [["502 Bad Gateway"], ["524 A Timeout Occurred"], ["502 Bad Gateway", "404 Not Found"]])
    func badGateway(isQueued: Bool, answers: [String]) throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        let port = server.port
        let left = Monitor(answers)
        let proxy = try Proxy { client in
            var buffer = [UInt8](repeating: 0, count: 65_536)
            guard let target = Loopback.connect(to: port) else { return }
            defer { close(target) }
            var isMessage = false
            while true {
                var polls = [
                    pollfd(fd: client, events: Int16(POLLIN), revents: 0),
                    pollfd(fd: target, events: Int16(POLLIN), revents: 0),
                ]
                guard poll(&polls, 2, 30_000) > 0 else { return }
                let isAnswer = polls[1].revents != 0
                let count = recv(isAnswer ? target : client, &buffer, buffer.count, 0)
                guard count > 0 else { return }
                var bytes = Array(buffer[..<count])
                if !isAnswer, bytes.starts(with: "GET ".utf8) { isMessage = false }
                if !isAnswer, bytes.starts(with: "POST ".utf8) { isMessage = true }
                if isAnswer, isMessage {
                    let status = left.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] }
                    bytes = Array("HTTP/1.1 \(status)\r\nContent-Length: 0\r\n\r\n".utf8)
                }
                guard Loopback.send(bytes, to: isAnswer ? client : target) else { return }
            }
        }
        let broken = alice.with(server: proxy.url)
        if isQueued {
            #expect(broken("send", "--queue", "--timeout", "0.3", "hello").code == 0)
            #expect(alice("sync").code == 0)
        } else {
            let sent = broken("send", "--timeout", "3", "hello")
            #expect(sent.code == 69 && sent.errors.contains("--id"), "\(sent)")
        }
        let texts = try alice.texts()
        #expect(texts == ["hello"])
    }
}
