import Glibc
import NatterHTTP
import NatterModel
import NatterStore
import NatterSystem
import SystemSupport
import TestSupport
import Testing

@testable import NatterDaemon

@Suite("the hooks of a store")
struct HookRegistryTests {
    private static let hook = Hook(
        id: "h1", conversation: "general", conversationID: "00112233445566778899aabbccddeeff",
        url: "https://example.org/h", secret: "secret", seq: 1)

    @Test(
        "a hook whose file can't be removed stays, and can be removed later",
        arguments: [DiskFault.Call.remove, .syncDirectory])
    func removal(call: DiskFault.Call) throws {
        let disk = SimulatedDisk()
        let registry = try HookRegistry(of: "/data", disk: disk)
        try registry.add(HookRegistryTests.hook)
        disk.set(fault: DiskFault([call], code: 5, lasts: false))
        #expect(throws: (any Error).self) { try registry.remove("h1") }
        #expect(registry.all == [HookRegistryTests.hook])
        disk.set(fault: nil)
        try registry.remove("h1")
        #expect(registry.all.isEmpty)
        #expect(try HookRegistry(of: "/data", disk: disk).all.isEmpty)
    }

    @Test(
        "a delivery is named after its message, and another message with that number after a restore has another name")
    func delivery() throws {
        let id = ConversationID(high: 1, low: 2)
        let names = try ([5, 5, 6] as [UInt64]).map { hash in
            let message = Message(
                conversation: "general", conversationID: id, seq: Seq(4),
                cursor: MessageCursor(conversation: id, seq: Seq(4), hashPrefix: hash),
                time: Timestamp(milliseconds: 0), sender: "alice", text: "x")
            let request = try Self.hook.request(message, to: HookAddress(Self.hook.url))
            return request.headers.first { $0.name == "Natter-Delivery" }?.value
        }
        #expect(names[0] != nil && names[0] == names[1] && names[1] != names[2])
    }

    @Test("a hook whose file can't be read is told and can be removed; the others work")
    func unreadable() throws {
        let disk = SimulatedDisk()
        try HookRegistry(of: "/data", disk: disk).add(HookRegistryTests.hook)
        try disk.replaceContents(of: "/data/hooks/h2.json", with: [0x7B])
        disk.set(fault: DiskFault([.read], in: "h2.json", code: 5, lasts: true))
        let registry = try HookRegistry(of: "/data", disk: disk)
        #expect(registry.all == [HookRegistryTests.hook])
        #expect(registry.failures.map { "\($0)".contains("h2.json") } == [true])
        disk.set(fault: nil)
        #expect(try registry.remove("h2") == nil)
        #expect(registry.failures.isEmpty && disk["/data/hooks/h2.json"].isEmpty)
        // Other faults say nothing about the file.
        disk.set(fault: DiskFault([.open], in: "h1.json", code: 24, lasts: true))
        #expect(throws: DiskError.self) { try HookRegistry(of: "/data", disk: disk) }
    }

    @Test("a flipped bit anywhere in the file of a hook is told, and damage for a check")
    func flippedBit() throws {
        let disk = SimulatedDisk()
        try HookRegistry(of: "/data", disk: disk).add(HookRegistryTests.hook)
        let path = "/data/hooks/h1.json"
        let whole = try disk.contents(of: path, limit: 1 << 20)
        for bit in 0..<whole.count * 8 {
            var flipped = whole
            flipped[bit / 8] ^= 1 << UInt8(bit % 8)
            try disk.replaceContents(of: path, with: flipped)
            let registry = try HookRegistry(of: "/data", disk: disk)
            #expect(registry.all.isEmpty && registry.damages.map(\.file) == [path], "bit \(bit)")
        }
        // A person who writes one by hand need not know the checksum
        for end in [[], [0x0A]] as [[UInt8]] {
            try disk.replaceContents(of: path, with: whole.prefix { $0 != 0x0A } + end)
            #expect(try HookRegistry(of: "/data", disk: disk).all == [HookRegistryTests.hook])
        }
    }

    @Test("a directory, a pipe or a link in the place of a hook is told, and the others work")
    func otherFiles() throws {
        let directory = try TemporaryDirectory()
        try HookRegistry(of: directory.path, disk: PosixDisk()).add(HookRegistryTests.hook)
        let path = directory.path + "/hooks/"
        #expect(mkdir(path + "a.json", 0o700) == 0 && mkfifo(path + "b.json", 0o600) == 0)
        #expect(symlink("h1.json", path + "c.json") == 0)
        let registry = try HookRegistry(of: directory.path, disk: PosixDisk())
        #expect(registry.all == [HookRegistryTests.hook])
        #expect(registry.failures.count == 3)
        for id in ["b", "c"] { #expect(try registry.remove(id) == nil) }
        #expect(throws: DiskError.self) { try registry.remove("a") }
        #expect(registry.failures.count == 1)
    }

    @Test("a file of any length that is no hook is told and can be removed; the others work", arguments: [0, 3 << 20])
    func damaged(length: Int) throws {
        let disk = SimulatedDisk()
        try HookRegistry(of: "/data", disk: disk).add(HookRegistryTests.hook)
        try disk.replaceContents(of: "/data/hooks/h2.json", with: Array(repeating: 0x20, count: length))
        let registry = try HookRegistry(of: "/data", disk: disk)
        #expect(registry.all == [HookRegistryTests.hook] && registry.failures.count == 1)
        #expect(try registry.remove("h2") == nil)
        #expect(registry.failures.isEmpty && disk["/data/hooks/h2.json"].isEmpty)
        #expect(try HookRegistry(of: "/data", disk: disk).failures.isEmpty)
    }
}
