import Glibc
import NatterModel
import NatterSQLite
import NatterSystem
import NatterProtocol
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

    /// Overwrites all pages but the first, which says that it is a database.
    private func damage(_ file: String) throws -> [UInt8] {
        var bytes = try disk.contents(of: file, limit: 1 << 20)
        for place in 4_096..<bytes.count { bytes[place] = 0xA5 }
        try disk.replaceContents(of: file, with: bytes)
        return bytes
    }

    @Test("is named with the remedy and left as it is; moved away, it is in nobody's way")
    func corrupt() throws {
        let directory = try TemporaryDirectory()
        let outbox = Outbox(OutboxLocation(directory: directory.path))
        _ = try outbox.add((1...60).map(request), at: Timestamp(milliseconds: 1))
        let file = outbox.location.databasePath
        let bytes = try damage(file)
        for attempt in [
            { _ = try self.ids(outbox) }, { _ = try outbox.add([self.request(61)], at: Timestamp(milliseconds: 2)) },
        ] {
            let error = #expect(throws: OutboxError.self) { try attempt() }
            #expect(error.map { "\($0)" }?.contains("move it away") == true)
        }
        #expect(try disk.contents(of: file, limit: 1 << 20).dropFirst(4_096) == bytes.dropFirst(4_096))
        try disk.rename(file, to: directory("aside.db"))
        _ = try outbox.add([request(61)], at: Timestamp(milliseconds: 2))
        #expect(try ids(outbox) == ["id-61"])
    }

    @Test("texts that were sent are in no file of the outbox any more")
    func sent() throws {
        let directory = try TemporaryDirectory()
        let outbox = Outbox(OutboxLocation(directory: directory.path))
        let added = try outbox.add((1...200).map(request), at: Timestamp(milliseconds: 1))
        try outbox.settle(sent: added.prefix(150).map(\.entry.number), refused: nil)
        for (name, bytes) in try Files.contents(directory.path) {
            for number in 1...150 {
                #expect(bytes.firstRange(of: Array("message \(number) ".utf8)) == nil, "\(number) in \(name)")
            }
        }
        #expect(try ids(outbox) == (151...200).map { "id-\($0)" })
    }

    @Test("does not keep a sync from fetching")
    func sync() throws {
        let server = try TestServer()
        let (alice, bob) = (try server.user("alice"), try server.user("bob"))
        #expect(alice("sync").code == 0)
        for number in 1...60 { #expect(alice("send", "--queue", "--offline", request(number).text).code == 0) }
        #expect(bob("send", "for alice").code == 0)
        _ = try damage(alice.outbox.location.databasePath)
        let sync = alice("sync")
        #expect(sync.code == 74 && sync.errors.contains("outbox.db' is damaged"), "\(sync)")
        #expect(try alice.texts("log", "--offline").contains("for alice"))
        let sent = alice("send", "now")
        #expect(sent.code == 0 && sent.errors.contains("outbox.db' is damaged"), "\(sent)")
    }

    @Test(
        "a message whose answer a proxy replaced is sent once, and the error names its id", arguments: [false, true],
        [["502 Bad Gateway"], ["524 A Timeout Occurred"], ["502 Bad Gateway", "404 Not Found"]])
    func badGateway(isQueued: Bool, answers: [String]) throws {
        let (server, alice) = try TestServer.withAlice()
        let port = server.port
        let left = Monitor(answers)
        let proxy = try Proxy { client in
            guard let request = Loopback.message(from: client),
                var answer = Loopback.exchange(request, with: port)
            else { return }
            if request.starts(with: "POST ".utf8) {
                let status = left.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] }
                answer = Array("HTTP/1.1 \(status)\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".utf8)
            }
            Loopback.send(answer, to: client)
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
