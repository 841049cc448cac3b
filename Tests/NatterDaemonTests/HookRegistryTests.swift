import NatterSystem
import SystemSupport
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
